"""The dialect as one object. Bodies, answers and streams are those of chat completions.

A stream begins with an event that has `prompt_filter_results` and no choices, and may have events with
`content_filter_results` and no delta: they are empty answers.
"""

from __future__ import annotations

from urllib.parse import quote

from dialects.answers import Answer, UpstreamError
from dialects.azure_openai.errors import read_error_body
from dialects.chat import ChatRequest
from dialects.openai_compatible import OpenAICompatible, OpenAICompatibleStream
from dialects.upstream import Target, UpstreamRequest

# The word of the catalogue for a resource that is spoken to by deployment and dated version.
DEPLOYMENT_PATH = "deployment-path"
# The last dated version that is not a preview; the undated API takes its place.
API_VERSION = "2024-10-21"

_PATH = "/openai/v1/chat/completions"


class AzureOpenAI:
    """Chat completions at a resource; the base URL ends before `/openai/`. A deployment's name is the model."""

    def __init__(self, api_version: str = API_VERSION) -> None:
        """Make the dialect; `api_version` is for endpoints that are spoken to by deployment."""
        self._api_version = api_version
        self._completions = OpenAICompatible()

    def request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Write a request. See `dialects.upstream.UpstreamDialect`."""
        written = self._completions.request(request, target)
        if DEPLOYMENT_PATH not in target.quirks:
            return UpstreamRequest(_PATH, written.body, written.headers)
        deployment, version = quote(target.model, safe=""), quote(self._api_version, safe="")
        path = f"/openai/deployments/{deployment}/chat/completions?api-version={version}"
        return UpstreamRequest(path, written.body, written.headers)

    def read_answer(self, body: bytes) -> Answer:
        """Read a whole answer."""
        return self._completions.read_answer(body)

    def read_stream(self) -> OpenAICompatibleStream:
        """Make a reader for one streamed answer."""
        return self._completions.read_stream()

    def read_error(self, body: bytes, status: int) -> UpstreamError:
        """Read the body of an answer whose status is an error."""
        return read_error_body(body, status)
