"""How the CLI of a run reaches its model. Here: through our gateway, from a private home, with a token of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import anyio
from claude_agent_sdk import ClaudeAgentOptions, Message

from llmos_core import LLMOSError, Run
from llmos_plugin_claude.sdk.gateway import Gateway
from llmos_plugin_claude.sdk.home import CONFIG, private_home
from llmos_plugin_claude.sdk.options import cli_environment


class Access(Protocol):
    """A way from the CLI to a model, open for one run."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables to set for the CLI."""
        ...

    @property
    def config(self) -> Path:
        """The CLI's configuration directory, where it writes its sessions."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may show."""
        ...

    @property
    def refusal(self) -> LLMOSError | None:
        """Why the run must end; goes before whatever the CLI says."""
        ...

    @property
    def failure(self) -> str:
        """What the model's side said last, if that was an error."""
        ...

    @property
    def cut(self) -> anyio.Event:
        """Set when the run must end: the CLI is interrupted, whatever its agents are about."""
        ...

    def refuse(self, error: Exception) -> LLMOSError:
        """End the run. Gives the first error that was so reported."""
        ...

    def options(self, options: ClaudeAgentOptions) -> ClaudeAgentOptions:
        """The options of the SDK, with what this way needs."""
        ...

    async def heard(self, message: Message) -> None:
        """A message of the CLI; it may say what was spent."""
        ...


OpenAccess = Callable[[Run], AbstractAsyncContextManager[Access]]
"""Opens a way for a run, and closes it with all that belongs to it."""


class GatewayAccess:
    """The requests of the CLI pass ``run.ask``, which meters and bounds them: there is nothing else to be done."""

    def __init__(self, gateway: Gateway, environment: Mapping[str, str], token: str) -> None:
        self._gateway = gateway
        self.environment = environment
        self.config = Path(environment[CONFIG])
        self.secrets = (token,)
        self.cut = gateway.cut

    @property
    def refusal(self) -> LLMOSError | None:
        return self._gateway.refusal

    @property
    def failure(self) -> str:
        return self._gateway.failure

    def refuse(self, error: Exception) -> LLMOSError:
        return self._gateway.refuse(error)

    def options(self, options: ClaudeAgentOptions) -> ClaudeAgentOptions:
        return options

    async def heard(self, message: Message) -> None:
        return None


@asynccontextmanager
async def through_gateway(run: Run) -> AsyncIterator[Access]:
    """The usual way. Raises UsageError if the working directory holds the system's temporary files."""
    token = secrets.token_hex(32)
    gateway = Gateway(run, token)
    async with private_home(run) as home, gateway as url:
        yield GatewayAccess(gateway, cli_environment(url, token, home), token)
