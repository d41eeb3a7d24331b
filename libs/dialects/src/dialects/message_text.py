"""Text of messages for dialects that have nothing but a string in its place."""

from __future__ import annotations

from dialects.chat import Content, TextPart
from dialects.errors import UnsupportedRequestError


def text_of(content: Content | None, where: str) -> str:
    """Join the text parts of a content, a line each.

    Args:
        content: None is empty.
        where: whose it is, for the error's message, such as `system message`.

    Raises:
        UnsupportedRequestError: a part is not text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        if not isinstance(part, TextPart):
            raise UnsupportedRequestError(f"an attachment in a {where} cannot be sent to this provider")
        texts.append(part.text)
    return "\n".join(texts)


def signed(text: str, name: str | None) -> str:
    """Put the name of who speaks before the text, as the public API documents for models that know no names."""
    return f"{name}: {text}" if name else text
