"""The gateway: the HTTP face of ``run.ask``, on loopback, for the one process that holds the run's token."""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any

import anyio
import uvicorn

from llmos_core import BudgetError, DeniedError, LLMOSError, ModelReply, ModelRequest, Notice, Run, UsageError
from llmos_plugin_claude.models.http_errors import own_fault
from llmos_plugin_claude.models.wire import CREDENTIALS, Headers, error_body, error_message

MAX_BODY = 64 << 20
"""The largest request taken, in bytes."""

_MAX_TOLD = 64 << 10
_CLOSE_S = 2.0
_TAKEN_S = 120.0
_KEEP_ALIVE_S = 3600
_STATUS = {BudgetError: 402, DeniedError: 403, UsageError: 400}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# As a library does: the server's own log is shown where the program that embeds it has set logging up.
logging.getLogger("uvicorn").addHandler(logging.NullHandler())


class Gateway:
    """Serves ``POST /v1/messages`` for one run; entered, it gives the base URL.

    A request that the model door refuses ends the run: ``refusal`` keeps the error, and every later request gets the
    same answer. ``cut`` is set then: a client that waits for other replies, for those of further agents say, would
    learn of it too late. ``failure`` is the message of the last reply from the model's side, if that was an error.
    """

    def __init__(self, run: Run, token: str) -> None:
        self.refusal: LLMOSError | None = None
        self.failure = ""
        self.cut = anyio.Event()
        self._run = run
        self._token = token.encode()
        self._server = _Server(self)

    async def __aenter__(self) -> str:
        return f"http://127.0.0.1:{await self._server.open()}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._server.close()

    def refuse(self, error: Exception) -> LLMOSError:
        """End the run: from now on no request passes. Gives the first error that was so reported."""
        if self.refusal is None:
            self.refusal = own_fault(error)
        self.cut.set()
        return self.refusal

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        if scope["method"] != "POST" or scope["path"] != "/v1/messages":
            await _answer(send, 404, "The gateway serves POST /v1/messages only.")
        elif not self._admits(dict(headers)):
            await _answer(send, 401, "The token is not that of this run.")
        elif (body := await _read(receive)) is None:
            await _answer(send, 413, f"The request is larger than {MAX_BODY} bytes.")
        elif self.refusal is not None:
            await _refuse(send, self.refusal)
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(_watch, receive, group.cancel_scope)
                await self._serve(body, headers, scope["query_string"].decode("latin-1"), send)
                group.cancel_scope.cancel()

    def _admits(self, headers: Mapping[str, str]) -> bool:
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = headers.get("x-api-key") or (bearer if kind.lower() == "bearer" else "")
        return hmac.compare_digest(given.encode("latin-1"), self._token)

    async def _serve(self, body: bytes, headers: Headers, query: str, send: Send) -> None:
        """Answer one request; a reply that breaks off is left incomplete, so that the client sees it."""
        reply = _Reply(send)
        try:
            passed = tuple((name, value) for name, value in headers if name not in CREDENTIALS)
            agent_id = dict(headers).get("x-claude-code-agent-id")
            request = ModelRequest.parse(uuid.uuid4().hex, body, passed, query, agent_id)
            async with self._run.ask(request) as answer:
                await self._forward(answer, reply)
            await reply.end()
        except Exception as error:  # noqa: BLE001 - whatever fails here is told to the client, and to the user
            if not reply.started:
                await _refuse(send, self.refuse(error))
            elif isinstance(error, LLMOSError):
                self.refuse(error)
            else:
                self.failure = f"A model's reply broke off: {_describe(error)}"
                self._run.emit(Notice(level="warning", text=self.failure))

    async def _forward(self, answer: ModelReply, reply: _Reply) -> None:
        headers = answer.headers
        if 300 <= answer.status < 400:
            # The CLI would follow it, past this door.
            to = dict(headers).get("location", "another place")
            fix = "Correct the address: ANTHROPIC_BASE_URL, or base_url and upstream_url in the settings."
            raise LLMOSError("The model's server sends its requests elsewhere.", f"HTTP {answer.status}: {to}", fix)
        if answer.status == 401:
            # Left alone, the CLI would ask for three minutes with a key that is wrong.
            headers = (*headers, ("x-should-retry", "false"))
        await reply.start(answer.status, headers)
        told = bytearray()
        async for chunk in answer.chunks:
            await reply.write(chunk)
            if answer.status >= 400:
                told += chunk[: _MAX_TOLD - len(told)]
        self.failure = error_message(bytes(told)) if told else ""


class _Reply:
    """One HTTP response on its way out."""

    def __init__(self, send: Send) -> None:
        self.started = False
        self._send = send

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, chunk: bytes) -> None:
        with anyio.move_on_after(_TAKEN_S) as scope:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        if scope.cancelled_caught:
            why = f"It took nothing of a reply for {_TAKEN_S:g} s."
            raise LLMOSError("The Claude Code CLI hung.", why, "Try again, or look with: llmos doctor")

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse(send: Send, refusal: LLMOSError) -> None:
    status = next((status for kind, status in _STATUS.items() if isinstance(refusal, kind)), 500)
    await _answer(send, status, str(refusal))


async def _answer(send: Send, status: int, message: str) -> None:
    """An error of the gateway's own; asking again would not help."""
    reply, body = _Reply(send), error_body(status, message)
    own = (("content-type", "application/json"), ("content-length", str(len(body))), ("x-should-retry", "false"))
    await reply.start(status, own)
    await reply.write(body)
    await reply.end()


async def _read(receive: Receive) -> bytes | None:
    """The request's body; None if it is too large or never came to its end."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body"):
            return bytes(body)


async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel the upstream when the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class _Server(uvicorn.Server):
    """uvicorn without what a whole program needs: no signal handlers, no ticking loop, a close that waits for none."""

    def __init__(self, app: Gateway) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                interface="asgi3",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
            )
        )

    async def open(self) -> int:
        """Listen on a free port of 127.0.0.1; gives the port."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets=[listener])
        port: int = listener.getsockname()[1]
        return port

    async def close(self) -> None:
        """Cut every connection, which cancels what is asked on its behalf, and wait a moment for that."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = set(self.server_state.tasks)
        if tasks:
            _, hung = await asyncio.wait(tasks, timeout=_CLOSE_S)
            for task in hung:
                task.cancel()
