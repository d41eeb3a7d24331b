"""Messages, calls and images of an answer as they grow, with the events that say so."""

from __future__ import annotations

from typing import Any

from dialects.responses.tools import ToolName, custom_input

Event = dict[str, Any]


class MessageOutput:
    """One message: text and refusals, in the order in which they came."""

    __slots__ = ("_parts", "_texts", "item_id", "open", "output_index")

    def __init__(self, output_index: int, tag: str) -> None:
        self.output_index = output_index
        self.item_id = f"msg_tmp_{tag}{output_index}"
        self.open = True
        self._parts: list[dict[str, Any]] = []
        # Pieces of the text of the last part, None when it has ended.
        self._texts: list[str] | None = None

    def begin(self) -> list[Event]:
        """Events for its beginning."""
        return [_added(self.output_index, self._item([], "in_progress"))]

    def say(self, kind: str, text: str, logprobs: list[Any]) -> list[Event]:
        """Take in characters of an `output_text` or a `refusal`."""
        events: list[Event] = []
        texts = self._texts
        if texts is None or self._parts[-1]["type"] != kind:
            events = self._end_part()
            empty: dict[str, Any] = {"type": kind, "refusal": ""}
            if kind == "output_text":
                empty = {"type": kind, "text": "", "annotations": [], "logprobs": []}
            self._parts.append(empty)
            texts = self._texts = []
            events.append(self._about("response.content_part.added", part=dict(empty)))
        texts.append(text)
        if kind == "output_text":
            self._parts[-1]["logprobs"] += logprobs
            events.append(self._about("response.output_text.delta", delta=text, logprobs=logprobs))
        else:
            events.append(self._about("response.refusal.delta", delta=text))
        return events

    def annotate(self, annotation: dict[str, Any]) -> list[Event]:
        """Take in an annotation of the last text. Late ones count too: some providers cite at the end."""
        for position in range(len(self._parts) - 1, -1, -1):
            part = self._parts[position]
            if part["type"] == "output_text":
                part["annotations"].append(annotation)
                event = self._about("response.output_text.annotation.added")
                event |= {
                    "content_index": position,
                    "annotation_index": len(part["annotations"]) - 1,
                    "annotation": annotation,
                }
                return [event]
        return []

    def finish(self, status: str = "completed") -> list[Event]:
        """Events for its end."""
        self.open = False
        return [*self._end_part(), _done(self.output_index, self.document(status))]

    def document(self, status: str = "completed") -> dict[str, Any]:
        """The whole item."""
        return self._item(self._parts, status)

    @property
    def text(self) -> str:
        """What it says, refusals left out."""
        return "".join(part["text"] for part in self._parts if part["type"] == "output_text")

    def _item(self, parts: list[dict[str, Any]], status: str) -> dict[str, Any]:
        return {"type": "message", "id": self.item_id, "status": status, "role": "assistant", "content": parts}

    def _end_part(self) -> list[Event]:
        if self._texts is None:
            return []
        part, text = self._parts[-1], "".join(self._texts)
        self._texts = None
        if part["type"] == "output_text":
            part["text"] = text
            done = self._about("response.output_text.done", text=text, logprobs=part["logprobs"])
        else:
            part["refusal"] = text
            done = self._about("response.refusal.done", refusal=text)
        return [done, self._about("response.content_part.done", part=part)]

    def _about(self, kind: str, **members: Any) -> Event:
        return {
            "type": kind,
            "output_index": self.output_index,
            "item_id": self.item_id,
            "content_index": len(self._parts) - 1,
            **members,
        }


class CallOutput:
    """One call of a tool. The input of a custom tool is inside JSON, so it is known only when the call is whole."""

    __slots__ = ("_arguments", "_begun", "_call_id", "_tools", "_waiting", "item_id", "name", "open", "output_index")

    def __init__(self, output_index: int, tag: str, tools: dict[str, ToolName]) -> None:
        self.output_index = output_index
        self.item_id = f"fc_tmp_{tag}{output_index}"
        self.open = True
        self.name: ToolName | None = None
        self._call_id = f"call_{tag}{output_index}"
        self._tools = tools
        self._arguments: list[str] = []
        self._begun = False
        self._waiting = ""

    def add(self, call_id: str, name: str, arguments: str) -> list[Event]:
        """Take in a piece. Nothing is said of a call before its name is known."""
        if call_id and not self._begun:
            self._call_id = call_id
        if name and self.name is None:
            self.name = self._tools.get(name) or ToolName("function", name)
        self._arguments.append(arguments)
        self._waiting += arguments
        if self.name is None:
            return []
        events = self._begin(self.name)
        if self._waiting and self.name.type == "function":
            events.append(self._about("response.function_call_arguments.delta", delta=self._waiting))
        self._waiting = ""
        return events

    def finish(self, status: str = "completed") -> list[Event]:
        """Events for its end."""
        self.open = False
        if self.name is None:
            self.name = ToolName("function", "")
        events = self._begin(self.name)
        arguments = "".join(self._arguments)
        if self.name.type == "function":
            if self._waiting:
                events.append(self._about("response.function_call_arguments.delta", delta=self._waiting))
            done = self._about("response.function_call_arguments.done", name=self.name.name, arguments=arguments)
        else:
            text = custom_input(arguments)
            if text:
                events.append(self._about("response.custom_tool_call_input.delta", delta=text))
            done = self._about("response.custom_tool_call_input.done", input=text)
        return [*events, done, _done(self.output_index, self.document(status))]

    def document(self, status: str = "completed") -> dict[str, Any]:
        """The whole item."""
        return self._item("".join(self._arguments), status)

    def _begin(self, name: ToolName) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        if name.type == "custom":
            self.item_id = "ctc" + self.item_id.removeprefix("fc")
        return [_added(self.output_index, self._item("", "in_progress"))]

    def _item(self, arguments: str, status: str) -> dict[str, Any]:
        name = self.name or ToolName("function", "")
        item: dict[str, Any] = {
            "type": "function_call" if name.type == "function" else "custom_tool_call",
            "id": self.item_id,
            "call_id": self._call_id,
            "name": name.name,
        }
        if name.type == "function":
            item["arguments"] = arguments
        else:
            item["input"] = custom_input(arguments)
        if name.namespace:
            item["namespace"] = name.namespace
        return item | {"status": status}

    def _about(self, kind: str, **members: Any) -> Event:
        return {"type": kind, "output_index": self.output_index, "item_id": self.item_id, **members}


class ImageOutput:
    """One image, which always comes whole."""

    __slots__ = ("_result", "item_id", "open", "output_index")

    def __init__(self, output_index: int, tag: str, url: str) -> None:
        self.output_index = output_index
        self.item_id = f"ig_tmp_{tag}{output_index}"
        self.open = False
        head, comma, data = url.partition(";base64,")
        # OpenAI's clients expect base64 alone; an address stays what it is.
        self._result = data if comma and head.startswith("data:image/") else url

    def events(self) -> list[Event]:
        """Its beginning and its end."""
        about = {"output_index": self.output_index, "item_id": self.item_id}
        begun = {"type": "image_generation_call", "id": self.item_id, "status": "in_progress", "result": None}
        return [
            _added(self.output_index, begun),
            {"type": "response.image_generation_call.completed", **about},
            _done(self.output_index, self.document()),
        ]

    def finish(self, status: str = "completed") -> list[Event]:
        """Nothing is left to say."""
        return []

    def document(self, status: str = "completed") -> dict[str, Any]:
        """The whole item."""
        return {"type": "image_generation_call", "id": self.item_id, "status": "completed", "result": self._result}


def _added(output_index: int, item: dict[str, Any]) -> Event:
    return {"type": "response.output_item.added", "output_index": output_index, "item": item}


def _done(output_index: int, item: dict[str, Any]) -> Event:
    return {"type": "response.output_item.done", "output_index": output_index, "item": item}
