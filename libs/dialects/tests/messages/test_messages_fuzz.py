"""Nothing that a caller sends makes the reading of a Messages request fail in an unnamed way."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dialects.chat import chat_request_from_document
from dialects.errors import InvalidRequestError
from dialects.messages import decode_messages_request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4)
    | st.sampled_from(["text", "thinking", "tool_use", "tool_result", "image", "document", "user", "assistant", "auto", "base64"]),
    lambda children: st.lists(children, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "role", "content", "text", "thinking", "signature", "source", "data", "media_type", "id", "name", "input",
             "tool_use_id", "is_error", "cache_control", "url", "title", "budget_tokens", "effort", "format", "schema"]
        ),
        children,
        max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip
TURN = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": st.text(max_size=4) | st.lists(JSON, max_size=3),
    }
)
DOCUMENT = st.fixed_dictionaries(
    {"messages": st.lists(TURN | JSON, max_size=3)},
    optional=dict.fromkeys(("model", "system", "tools", "tool_choice", "thinking", "output_config", "metadata", "fallbacks", "models", "stop_sequences", "max_tokens", "service_tier", "provider", "context_management", "cache_control"), JSON),
)  # fmt: skip


@given(JSON | DOCUMENT)
def test_anything_is_a_valid_chat_request_or_an_error_that_names_a_member(document: Any) -> None:
    data = json.dumps(document).encode()
    try:
        request = decode_messages_request(data)
    except InvalidRequestError:
        return
    assert chat_request_from_document(dict(request.chat.document)).body == request.chat.body
