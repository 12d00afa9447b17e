"""One task solved by the real Claude Agent SDK and its CLI. Importing this module imports the SDK: about 0.9 s."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import anyio
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ClaudeSDKError,
    CLINotFoundError,
    ResultMessage,
    SystemMessage,
    TaskStartedMessage,
    TextBlock,
)

from llmos_core import LLMOSError, LlmOutput, Notice, Run
from llmos_plugin_claude.bridge import Bridge
from llmos_plugin_claude.gateway import Gateway
from llmos_plugin_claude.options import build_options, cli_environment, private_home
from llmos_plugin_claude.settings import ClaudeSettings

_INTERRUPT_S = 2.0
_STDERR_LINES = 5
_FIXES = {
    401: "Check ANTHROPIC_API_KEY.",
    402: "Check the balance of the account.",
    403: "Check what the API key may do.",
    404: "Check the model's name.",
}
_BUSY = "Try again later."

# As a library does: the SDK's own log is shown where the program that embeds it has set logging up.
for _name in ("claude_agent_sdk", "mcp"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


async def solve(run: Run, prompt: str, extra_environment: Mapping[str, str]) -> str:
    """The model's answer to a prompt, reached with the kernel's tools.

    Raises what the model door refused (BudgetError, DeniedError, UsageError), or LLMOSError for any other end without
    an answer. Cancelled, it interrupts the CLI; in every case no process and no file of it is left.
    """
    settings, token = run.settings(ClaudeSettings), secrets.token_hex(32)
    gateway, stderr = Gateway(run, token), deque[str](maxlen=_STDERR_LINES)
    async with private_home(run) as home, gateway as url:
        environment = {**cli_environment(url, token, home), **extra_environment}
        options = build_options(run, settings, Bridge(run, gateway.refuse), environment, stderr.append)
        try:
            async with _connected(options, run) as client:
                await client.query(prompt)
                result = await _listen(client, run)
        except ClaudeSDKError as error:
            raise gateway.refusal or _lost(error, stderr, token) from error
    if gateway.refusal:
        raise gateway.refusal
    return _answer(result, gateway.failure, options.max_turns)


@asynccontextmanager
async def _connected(options: ClaudeAgentOptions, run: Run) -> AsyncIterator[ClaudeSDKClient]:
    """A client at work. Disconnecting ends the CLI: it is asked to, then made to, then killed."""
    client = ClaudeSDKClient(options)
    await client.connect()
    try:
        yield client
    except anyio.get_cancelled_exc_class():
        # A busy CLI takes 5 s to leave, one that was interrupted leaves at once.
        with anyio.move_on_after(_INTERRUPT_S, shield=True):
            await _interrupt(client, run)
        raise
    finally:
        await client.disconnect()


async def _interrupt(client: ClaudeSDKClient, run: Run) -> None:
    try:
        await client.interrupt()
    except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions here; disconnecting comes next anyway
        run.emit(Notice(level="warning", text=f"The CLI could not be interrupted: {error}"))


async def _listen(client: ClaudeSDKClient, run: Run) -> ResultMessage:
    """Tell what happens, until the result."""
    agents: dict[str | None, str] = {}
    async for message in client.receive_response():
        match message:
            case AssistantMessage(error=None):
                agent_id = agents.get(message.parent_tool_use_id)
                for block in message.content:
                    if isinstance(block, TextBlock) and block.text:
                        run.emit(LlmOutput(text=block.text, agent_id=agent_id))
            case TaskStartedMessage():
                agents[message.tool_use_id] = message.task_id
            case SystemMessage(subtype="api_retry"):
                run.emit(Notice(level="warning", text=_retrying(message)))
            case ResultMessage():
                return message
            case _:
                pass
    raise LLMOSError("The Claude Code CLI ended without a result.")


def _retrying(message: SystemMessage) -> str:
    seconds = message.data.get("retry_delay_ms", 0) / 1000
    reason = message.data.get("error_status") or "no connection"
    return f"The model did not answer ({reason}); attempt {message.data.get('attempt')} follows in {seconds:.1f} s."


def _answer(result: ResultMessage, failure: str, max_turns: int | None) -> str:
    """The text of a result, or the error it stands for: ``is_error`` counts, an API failure is a ``success`` too."""
    if not result.is_error and result.result and result.result.strip():
        return result.result
    if not result.is_error:
        raise LLMOSError("The model gave no answer.", "Its last message holds no text.", _BUSY)
    if result.subtype == "error_max_turns":
        raise LLMOSError(
            f"The model did not finish within {max_turns} turns.", fix="Raise --max-turns, or ask for less."
        )
    told = failure or result.result or "; ".join(result.errors or ()) or result.terminal_reason or result.subtype
    status = result.api_error_status
    why = " ".join(told.split())
    if status is None:
        raise LLMOSError("The Claude Code CLI ended the run with an error.", why)
    raise LLMOSError(f"The model refused a request (HTTP {status}).", why, _FIXES.get(status, _BUSY))


def _lost(error: ClaudeSDKError, stderr: Iterable[str], token: str) -> LLMOSError:
    """What to say when the CLI is gone: the SDK's word, and the last that the CLI wrote."""
    if isinstance(error, CLINotFoundError):
        fix = "Reinstall it: pip install --force-reinstall claude-agent-sdk"
        return LLMOSError("The Claude Code CLI was not found.", " ".join(str(error).split()), fix)
    why = " | ".join([str(error), *stderr]).replace(token, "***")
    return LLMOSError("The Claude Code CLI failed.", " ".join(why.split()), "Try again, or look with: llmos doctor")
