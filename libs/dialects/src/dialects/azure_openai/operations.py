"""Operations at a resource: OpenAI's, at other addresses."""

from __future__ import annotations

from urllib.parse import quote

from dialects.azure_openai.dialect import API_VERSION, DEPLOYMENT_PATH
from dialects.openai_compatible import operations
from dialects.operations.codec import OperationRequest
from dialects.upstream import Target, UpstreamRequest


def operation_request(request: OperationRequest, target: Target) -> UpstreamRequest:
    """Write a request. See `dialects.operations.registry`."""
    written = operations.operation_request(request, target)
    path = f"/openai/v1{written.path}"
    if DEPLOYMENT_PATH in target.quirks:
        deployment, version = quote(target.model, safe=""), quote(API_VERSION, safe="")
        path = f"/openai/deployments/{deployment}{written.path}?api-version={version}"
    return UpstreamRequest(path, written.body, written.headers, read=written.read)
