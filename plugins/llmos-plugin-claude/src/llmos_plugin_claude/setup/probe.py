"""What ``llmos init`` asks of servers: which models are there, and does one answer at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import anyio

from llmos_core import (
    LLMOS,
    Bid,
    LLMOSError,
    ModelProvider,
    ModelRequest,
    Outcome,
    Result,
    Run,
    Strategy,
    Task,
    hookimpl,
)
from llmos_plugin_claude.models.wire import error_message

USUAL_PORTS = {11434: "Ollama", 1234: "LM Studio", 8000: "vLLM", 8080: "llama.cpp"}
"""Where servers of local models listen, unless told otherwise."""

PROBE_S = 1.0
CHECK_S = 120.0
"""How long a model may take for the smallest answer: a local one may have to be loaded first."""

MOST_USD = 0.001
"""The most that a check may cost; the model door holds it."""

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Server:
    """A server of local models that answers."""

    url: str
    name: str
    models: tuple[str, ...]


async def find_servers(ports: Mapping[int, str] = USUAL_PORTS) -> list[Server]:
    """The servers on this machine that say which models they have, in the order of ``ports``."""
    found: dict[int, Server] = {}

    async def look(port: int, name: str) -> None:
        url = f"http://localhost:{port}"
        try:
            found[port] = Server(url, name, await models_at(url))
        except LLMOSError:
            return  # nothing there, or something else: that is what was asked

    async with anyio.create_task_group() as group:
        for port, name in ports.items():
            group.start_soon(look, port, name)
    return [found[port] for port in ports if port in found]


async def models_at(url: str) -> tuple[str, ...]:
    """The names of the models that a server has. Raises LLMOSError if it does not say."""
    import httpx2

    body = bytearray()
    try:
        with anyio.fail_after(PROBE_S):
            async with (
                httpx2.AsyncClient(trust_env=False, timeout=None) as client,
                client.stream("GET", f"{url}/v1/models") as reply,
            ):
                async for chunk in reply.aiter_bytes():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        break
        return tuple(str(entry["id"]) for entry in json.loads(body)["data"])
    except (httpx2.HTTPError, TimeoutError):
        raise LLMOSError(f"No server answers at {url}.", fix="Start it, or correct the address.") from None
    except (ValueError, LookupError, TypeError):
        raise LLMOSError(f"What answers at {url} names no models.", fix="Correct the address.") from None


async def ask_once(provider: ModelProvider, model: str) -> Outcome:
    """One request of a few tokens through the model door, in a system of its own; it costs at most ``MOST_USD``."""
    system = LLMOS.in_memory({"check": _Check(provider)})
    return await system.execute(
        "Answer with one word.", mode=_Ask.name, model=model, max_cost_usd=MOST_USD, timeout_s=CHECK_S
    )


class _Check:
    """A plugin with the model to be checked, and the strategy that asks it."""

    def __init__(self, provider: ModelProvider) -> None:
        self._provider = provider

    @hookimpl
    def llmos_models(self) -> Iterable[ModelProvider]:
        return [self._provider]

    @hookimpl
    def llmos_strategies(self) -> Iterable[Strategy]:
        return [_Ask()]


class _Ask:
    """A single request."""

    name = "CHECK"
    learns = False

    async def bid(self, task: Task, run: Run) -> Bid:
        return Bid(fit=1.0, cost_usd=MOST_USD, reason="asked for")

    async def run(self, task: Task, run: Run) -> Result:
        messages: Sequence[object] = [{"role": "user", "content": task.goal}]
        body = json.dumps({"model": task.model, "max_tokens": 1, "messages": messages}).encode()
        headers = (("content-type", "application/json"), ("anthropic-version", "2023-06-01"))
        async with run.ask(ModelRequest.parse("check", body, headers)) as reply:
            answer = b"".join([chunk async for chunk in reply.chunks])
        if reply.status != 200:
            raise LLMOSError(f"The model refused the request (HTTP {reply.status}).", error_message(answer))
        return Result(success=True, output="")
