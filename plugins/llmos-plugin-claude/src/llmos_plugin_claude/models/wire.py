"""What the gateway and the provider both know of the Messages API over HTTP."""

from __future__ import annotations

import json

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to one connection and are never passed on."""

CREDENTIALS = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie"})
"""Request headers that can hold a credential."""

Headers = tuple[tuple[str, str], ...]

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
}


def error_body(status: int, message: str) -> bytes:
    """An error as the Messages API writes it."""
    error = {"type": _KINDS.get(status, "api_error"), "message": message}
    return json.dumps({"type": "error", "error": error}).encode()


def error_message(body: bytes) -> str:
    """The message of an error's body, or its beginning where it is of another form."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        message = None
    return message if isinstance(message, str) else body[:300].decode("utf-8", "replace").strip()
