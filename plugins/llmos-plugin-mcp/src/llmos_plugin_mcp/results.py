"""What a server answered, as the text that a model sees."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from typing import Any

from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from llmos_core import ToolResult

NO_CONTENT = "(the tool gave no content)"


def tool_result(answer: CallToolResult, redacted: Callable[[str], str], limit: int) -> ToolResult:
    """The texts of an answer, one below the other; what is no text is described in a line.

    Structured content goes into ``data``; into the text only where there is no other. What a text does not show is
    told by a digest, so that a replay whose answer differs there differs too.
    """
    parts = [_text(block) for block in answer.content]
    structured = redacted_value(answer.structured_content, redacted)
    if structured is not None and not parts:
        parts = [json.dumps(structured, ensure_ascii=False)]
    output, cut = _shortened(redacted("\n".join(parts)) or NO_CONTENT, limit)
    data: dict[str, Any] = {"truncated": True} if cut else {}
    if structured is not None:
        size = len(json.dumps(structured))
        data["structured"] = structured if size <= limit else f"[{size} characters left out]"
    return ToolResult(output=output, is_error=answer.is_error, data=data)


def redacted_value(value: Any, redacted: Callable[[str], str]) -> Any:
    """A JSON value whose texts, keys and numbers are redacted, each before it is escaped."""
    match value:
        case str():
            return redacted(value)
        case list():
            return [redacted_value(each, redacted) for each in value]
        case dict():
            return {redacted(key): redacted_value(each, redacted) for key, each in value.items()}
        case int() | float():
            text = json.dumps(value)
            return value if (shown := redacted(text)) == text else shown
        case _:
            return value


def _text(block: Any) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            return _bytes(block.mime_type, block.data)
        case ResourceLink():
            return f"[link to a resource: {block.uri} ({block.name})]"
        case EmbeddedResource(resource=TextResourceContents() as resource):
            return f"[resource {resource.uri}]\n{resource.text}"
        case EmbeddedResource(resource=BlobResourceContents() as resource):
            return f"[resource {resource.uri}]\n{_bytes(resource.mime_type or 'binary data', resource.blob)}"
        case _:
            return f"[content of the type {block.type}]"


def _bytes(kind: str, data: str) -> str:
    try:
        raw = base64.b64decode(data)
    except binascii.Error:
        raw = data.encode()
    return f"[{kind}, {len(raw)} bytes, not shown. SHA-256: {hashlib.sha256(raw).hexdigest()}]"


def _shortened(text: str, limit: int) -> tuple[str, bool]:
    if len(text) <= limit:
        return text, False
    half = limit // 2
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    note = f"[Result of {len(text)} characters cut: its first and its last {half} are shown. SHA-256: {digest}]"
    return f"{text[:half]}\n\n... {note} ...\n\n{text[-half:]}", True
