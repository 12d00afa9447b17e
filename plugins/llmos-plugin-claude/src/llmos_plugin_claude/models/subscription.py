"""The model provider ``subscription``: the CLI asks the model itself, with the login that it has of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import NoReturn

import anyio

from llmos_core import Billing, ModelRequest, Run, Task, UsageError
from llmos_plugin_claude.environment import bare_environment
from llmos_plugin_claude.settings import ClaudeSettings

LOGIN_VARIABLE = "CLAUDE_CODE_OAUTH_TOKEN"
SUBSCRIPTION = "subscription"

WEAKER = (
    "A limit on what a run may spend can be passed by one response: the CLI tells the cost only afterwards.",
    "Costs are the CLI's word: its requests go to the model directly, past the gateway that meters and guards them.",
    "The CLI works in your own home, where its login lies, not in an empty one made for the run.",
)
"""What a login gives up, against a key."""

_STATUS_S = 30.0


def login_environment(parent: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables to set for the CLI so that it uses its login: of the user's it has the harmless ones, and those
    that say where the login lies and which server it is for.
    """
    # A key would go before the login; it is among what is emptied.
    return bare_environment(parent, "HOME", "CLAUDE_CONFIG_DIR", "ANTHROPIC_BASE_URL", LOGIN_VARIABLE)


async def logged_in(cli_path: str | None) -> bool:
    """Whether the CLI has a login of its own. Imports the SDK. Raises LLMOSError where there is no CLI."""
    from llmos_plugin_claude.sdk.cli_check import find_cli

    environment = {**os.environ, **login_environment()}
    cli = await find_cli(cli_path, environment)
    with anyio.fail_after(_STATUS_S):
        done = await anyio.run_process([str(cli), "auth", "status"], env=environment, check=False)
    try:
        return bool(json.loads(done.stdout)["loggedIn"])
    except (ValueError, LookupError, TypeError):
        return False


class SubscriptionProvider:
    """Stands for the login of the CLI. No request can pass through it: the session lets the CLI ask directly."""

    name = SUBSCRIPTION
    billing: Billing = "real"
    fallback = False

    def __init__(self, settings: ClaudeSettings, environ: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self._token = environ.get(LOGIN_VARIABLE, "").strip()

    def unready(self) -> str | None:
        """Why the login is not used: the user did not say so. Whether there is one, the CLI knows."""
        return None if self._settings.login else "the CLI's own login is not switched on (llmos init --login)"

    def notices(self) -> Sequence[str]:
        """What is weaker than with a key."""
        return ("The CLI asks the model with its own login: a limit may be passed by one response.",)

    def secrets(self) -> Sequence[str]:
        """The token of the environment; what the CLI stored is not read."""
        return (self._token,) if self._token else ()

    def check(self, task: Task, run: Run) -> None:
        """Any task can be asked."""

    def priced(self, model: str, run: Run) -> bool:
        """True: costs are shown as the CLI tells them, at list prices."""
        return True

    def open(self, request: ModelRequest, run: Run) -> NoReturn:
        """Raises UsageError: only the Claude Code CLI can use its login."""
        raise UsageError(
            "A login of the Claude Code CLI answers no single requests.",
            "Only the CLI itself may use it; this part of LLM OS asks the model without the CLI.",
            "Use an API key or a local model for it: llmos init",
        )
