"""The model provider ``anthropic``: forwards a request to the Anthropic API, byte for byte in both directions."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
from anyio import to_thread

from llmos_core import Billing, LLMOSError, ModelReply, ModelRequest, Run, Task, UsageError
from llmos_plugin_claude.models.credentials import VARIABLE, credentials_file, key_of, read_key
from llmos_plugin_claude.models.wire import CREDENTIALS, HOP_BY_HOP, Headers, error_body
from llmos_plugin_claude.settings import BASE_URL, ClaudeSettings

if TYPE_CHECKING:
    from ssl import SSLContext

    import httpx2

PUBLIC_API = "https://api.anthropic.com"
URL_VARIABLE = "ANTHROPIC_BASE_URL"
CONNECT_TIMEOUT_S = 10.0
CONNECT_AGAIN_S = (0.1, 0.4)
"""The pauses before a connection that was refused is tried again. Nothing was sent, so this is always safe."""

_REPLACED = HOP_BY_HOP | CREDENTIALS | {"host", "content-length", "accept-encoding"}


class AnthropicProvider:
    """Answers Messages requests through an API key, at the Anthropic API or any base URL that speaks the same.

    The base URL of the settings is a server on this machine: it needs no key and is sent none.
    """

    name = "anthropic"
    billing: Billing = "real"
    fallback = False

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        settings: ClaudeSettings | None = None,
        credentials: Path | None = None,
    ) -> None:
        self._environ = environ
        self._settings = settings or ClaudeSettings()
        self._tls: SSLContext | None = None
        self._fault: LLMOSError | None = None
        try:
            self._key = key_of(environ) or (read_key(credentials) if credentials else "")
        except LLMOSError as error:
            # Told where this model is asked for; goals that need none run on.
            self._key, self._fault = "", error

    @classmethod
    def of_user(cls, settings: ClaudeSettings) -> AnthropicProvider:
        """With the key of the environment, else the one that ``llmos init`` stored."""
        return cls(settings=settings, credentials=credentials_file())

    @property
    def base_url(self) -> str:
        """Where requests go: as the settings say, else the environment, else to the public API."""
        named = self._settings.base_url or self._settings.upstream_url
        return (named or self._environ.get(URL_VARIABLE, "").strip() or PUBLIC_API).rstrip("/")

    def unready(self) -> str | None:
        """Why no request can be answered: there is no key, and the server is not on this machine.

        Raises UsageError where something is there but cannot be used: whoever gave it does not want another model.
        """
        if self._settings.base_url:
            return None
        if self._fault:
            raise self._fault
        local = is_loopback(self.base_url)
        if not self._key and not local:
            return f"{VARIABLE} is not set, and no key is stored (llmos init)"
        if not re.fullmatch(BASE_URL, self.base_url):
            raise UsageError(f"{URL_VARIABLE} is not an http or https address.", fix="Correct or unset it.")
        if self.base_url.startswith("http:") and not local:
            raise UsageError(
                f"The model's server is asked in the clear: {_host(self.base_url)}",
                "Anyone on the way could read the key and your data.",
                "Use its https address, or reach it through a tunnel to this machine.",
            )
        return None

    def notices(self) -> Sequence[str]:
        """Which server answers, where it is not the public API."""
        return () if self.base_url == PUBLIC_API else (f"The model is served by {_host(self.base_url)}.",)

    def secrets(self) -> Sequence[str]:
        """The API key."""
        return (self._key,) if self._key else ()

    def check(self, task: Task, run: Run) -> None:
        """Any task can be asked."""

    def priced(self, model: str, run: Run) -> bool:
        """False at a loopback address: a local model costs nothing unless the settings price it."""
        return not is_loopback(self.base_url)

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        """The upstream's reply, in chunks as they arrive. An upstream out of reach gives a reply with status 502.

        A reply that breaks off raises an error of httpx2 out of its chunks.
        """
        import httpx2

        async with httpx2.AsyncClient(
            verify=await self._verify(),
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),
            # A proxy named in the environment is for the outside world.
            trust_env=not is_loopback(self.base_url),
        ) as client:
            url = f"{self.base_url}/v1/messages" + (f"?{request.query}" if request.query else "")
            outgoing = client.build_request("POST", url, headers=self._headers(request), content=request.body)
            try:
                response = await _send(client, outgoing)
            except httpx2.HTTPError as error:
                yield _unreachable(self.base_url, error)
            else:
                yield ModelReply(response.status_code, response.aiter_raw(), _passed_on(response.headers.multi_items()))

    def _headers(self, request: ModelRequest) -> list[tuple[str, str]]:
        passed = [(name, value) for name, value in request.headers if name not in _REPLACED]
        key = [("x-api-key", self._key)] if self._key and not self._settings.base_url else []
        return [*passed, *key, ("accept-encoding", "identity")]

    async def _verify(self) -> SSLContext | bool:
        """The trusted certificates: read once, since that takes 50 ms, and only where they are needed."""
        if self.base_url.startswith("http:"):
            return False
        if self._tls is None:
            from httpx2 import create_ssl_context

            self._tls = await to_thread.run_sync(create_ssl_context)
        return self._tls


def is_loopback(url: str) -> bool:
    """Whether an address is one of this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _send(client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
    """The reply's beginning. A connection that cannot be made is tried again: TCP itself repeats only what is lost."""
    import httpx2

    for pause in CONNECT_AGAIN_S:
        try:
            return await client.send(request, stream=True)
        except httpx2.ConnectError:
            await anyio.sleep(pause)
    return await client.send(request, stream=True)


def _host(url: str) -> str:
    """The host and port of an address, without a password that it may hold."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _passed_on(headers: Sequence[tuple[str, str]]) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() not in HOP_BY_HOP)


def _unreachable(base_url: str, error: Exception) -> ModelReply:
    import ssl

    cause = _cause(error)
    hint = " Is the server started, and is this its port?" if isinstance(cause, ConnectionError) else ""
    body = error_body(502, f"{_host(base_url)} could not be reached: {_words(cause)}.{hint}")
    headers: Headers = (("content-type", "application/json"),)
    if is_loopback(base_url) or isinstance(cause, ssl.SSLError):
        # Asking again, as the CLI would for long, helps against an outage, but starts no server.
        headers = (*headers, ("x-should-retry", "false"))
    return ModelReply(502, _once(body), headers)


def _cause(error: BaseException) -> BaseException:
    """What the system said, below what the libraries made of it."""
    import httpx2

    below: BaseException | None = error
    while below is not None and not isinstance(error, httpx2.TimeoutException):
        if isinstance(below, OSError) and below.errno is not None:
            return below
        below = below.exceptions[0] if isinstance(below, BaseExceptionGroup) else below.__cause__ or below.__context__
    return error


def _words(cause: BaseException) -> str:
    import httpx2

    if isinstance(cause, httpx2.TimeoutException):
        return f"no connection within {CONNECT_TIMEOUT_S:g} s"
    if isinstance(cause, ConnectionError) and cause.errno:
        return os.strerror(cause.errno)
    return str(cause) or type(cause).__name__


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
