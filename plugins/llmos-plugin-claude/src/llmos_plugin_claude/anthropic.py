"""The model provider ``anthropic``: forwards a request to the Anthropic API, byte for byte in both directions."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from anyio import to_thread

from llmos_core import Billing, ModelReply, ModelRequest, Run, Task, UsageError
from llmos_plugin_claude.settings import BASE_URL, ClaudeSettings
from llmos_plugin_claude.wire import CREDENTIALS, HOP_BY_HOP, Headers, error_body

if TYPE_CHECKING:
    from ssl import SSLContext

PUBLIC_API = "https://api.anthropic.com"
CONNECT_TIMEOUT_S = 10.0

_KEY = re.compile(r"[!-~]+")
_REPLACED = HOP_BY_HOP | CREDENTIALS | {"host", "content-length", "accept-encoding"}


class AnthropicProvider:
    """Answers Messages requests through an API key, at the Anthropic API or any base URL that speaks the same."""

    name = "anthropic"
    billing: Billing = "real"
    fallback = False

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._key = environ.get("ANTHROPIC_API_KEY", "").strip()
        self._default_url = environ.get("ANTHROPIC_BASE_URL", "").strip() or PUBLIC_API
        self._tls: SSLContext | None = None

    def unready(self) -> str | None:
        """Why no request can be answered: the key is missing.

        Raises UsageError where it is there but cannot be used: whoever gave a key does not want another model.
        """
        if not self._key:
            return "ANTHROPIC_API_KEY is not set"
        # A malformed key would be quoted in the error of the HTTP client.
        if not _KEY.fullmatch(self._key):
            raise UsageError("ANTHROPIC_API_KEY holds a character that no key has.", fix="Correct or unset it.")
        if not re.fullmatch(BASE_URL, self._default_url):
            raise UsageError("ANTHROPIC_BASE_URL is not an http or https address.", fix="Correct or unset it.")
        return None

    def notices(self) -> Sequence[str]:
        """There are none: this is the model as expected."""
        return ()

    def secrets(self) -> Sequence[str]:
        """The API key."""
        return (self._key,) if self._key else ()

    def check(self, task: Task, run: Run) -> None:
        """Any task can be asked."""

    def priced(self, model: str, run: Run) -> bool:
        """False at a loopback address: a local model costs nothing unless the settings price it."""
        return not _is_loopback(self._base_url(run))

    def _base_url(self, run: Run) -> str:
        """The settings' base URL; the environment's stands where they name none."""
        return (run.settings(ClaudeSettings).base_url or self._default_url).rstrip("/")

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        """The upstream's reply, in chunks as they arrive. An upstream out of reach gives a reply with status 502.

        A reply that breaks off raises an error of httpx2 out of its chunks.
        """
        import httpx2

        base_url = self._base_url(run)
        async with httpx2.AsyncClient(
            verify=await self._verify(base_url),
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),
            # A proxy named in the environment is for the outside world.
            trust_env=not _is_loopback(base_url),
        ) as client:
            outgoing = client.build_request(
                "POST", _url(base_url, request), headers=self._headers(request), content=request.body
            )
            try:
                response = await client.send(outgoing, stream=True)
            except httpx2.HTTPError as error:
                yield _unreachable(urlsplit(base_url).netloc.rpartition("@")[2], error)
            else:
                yield ModelReply(response.status_code, response.aiter_raw(), _passed_on(response.headers.multi_items()))

    def _headers(self, request: ModelRequest) -> list[tuple[str, str]]:
        passed = [(name, value) for name, value in request.headers if name not in _REPLACED]
        return [*passed, ("x-api-key", self._key), ("accept-encoding", "identity")]

    async def _verify(self, base_url: str) -> SSLContext | bool:
        """The trusted certificates: read once, since that takes 50 ms, and only where they are needed."""
        if base_url.startswith("http:"):
            return False
        if self._tls is None:
            from httpx2 import create_ssl_context

            self._tls = await to_thread.run_sync(create_ssl_context)
        return self._tls


def _url(base_url: str, request: ModelRequest) -> str:
    return f"{base_url}/v1/messages" + (f"?{request.query}" if request.query else "")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _passed_on(headers: Sequence[tuple[str, str]]) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() not in HOP_BY_HOP)


def _unreachable(host: str, error: Exception) -> ModelReply:
    body = error_body(502, f"{host} could not be reached: {str(error) or type(error).__name__}")
    return ModelReply(502, _once(body), (("content-type", "application/json"),))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
