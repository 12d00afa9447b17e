"""One task solved by the real Claude Agent SDK and its CLI. Importing this module imports the SDK: about 0.9 s."""

from __future__ import annotations

import logging
import secrets
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    Message,
    ResultMessage,
    SystemMessage,
    TaskNotificationMessage,
    TaskStartedMessage,
    TextBlock,
)

from llmos_core import LLMOSError, LlmOutput, Notice, Run
from llmos_plugin_claude.sdk import conversation, processes
from llmos_plugin_claude.sdk.access import Access, OpenAccess
from llmos_plugin_claude.sdk.agents import Agents
from llmos_plugin_claude.sdk.bridge import Bridge
from llmos_plugin_claude.sdk.cli_check import find_cli
from llmos_plugin_claude.sdk.direct import access_for
from llmos_plugin_claude.sdk.ends import answer_of, is_of_sdk, lost, silent
from llmos_plugin_claude.sdk.options import build_options
from llmos_plugin_claude.sdk.watch import Activity
from llmos_plugin_claude.settings import ClaudeSettings

INTERRUPT_S = 2.0
"""How long the CLI may take to be interrupted."""

LEAVE_S = 5.0
"""How long it may take to leave, from the moment that it must; then it is killed."""

EXIT_S = 1.0
"""How long its children may outlive it."""

MARK = "LLMOS_CLI_MARK"
"""The variable by which the processes of one run's CLI are found."""

_STDERR_LINES = 5

# As a library does: the SDK's own log is shown where the program that embeds it has set logging up.
for _name in ("claude_agent_sdk", "mcp"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


async def solve(
    run: Run, prompt: str, extra_environment: Mapping[str, str], open_access: OpenAccess | None = None
) -> str:
    """The model's answer to a prompt, reached with the kernel's tools.

    Raises what the model door refused (BudgetError, DeniedError, UsageError), or LLMOSError for any other end without
    an answer. Cancelled, it interrupts the CLI; in every case no process and no file of it is left. What was said is
    kept among the files of the run.
    """
    settings, activity = run.settings(ClaudeSettings), Activity()
    watched, mark = activity.watched(run), secrets.token_hex(16)
    async with (open_access or access_for(run))(watched) as access:
        environment = {
            **access.environment,
            "CLAUDE_CODE_MAX_RETRIES": str(settings.max_retries),
            **extra_environment,
            MARK: mark,
        }
        session, stderr = uuid.uuid4(), deque[str](maxlen=_STDERR_LINES)
        resumed = await conversation.resume(run, access.config)
        try:
            cli_path = await find_cli(settings.cli_path, environment)
            options = await build_options(watched, settings, Bridge(watched, access.refuse), environment, stderr.append)
            options = access.options(
                replace(
                    options,
                    cli_path=cli_path,
                    resume=resumed,
                    session_id=None if resumed else str(session),
                )
            )
            attempt = _Attempt(run, options, access, activity, mark)
            ended = await attempt.made(prompt, settings.cli_silence_s)
        finally:
            await processes.end(MARK, mark)
            await conversation.keep(run, access.config, resumed or str(session))
    if access.refusal:
        raise access.refusal
    if isinstance(ended, ResultMessage):
        return answer_of(ended, access.failure, options.max_turns)
    raise lost(ended, stderr, access.secrets) from ended


class _Attempt:
    """One conversation with one CLI, which is ended if it must be."""

    def __init__(self, run: Run, options: ClaudeAgentOptions, access: Access, activity: Activity, mark: str) -> None:
        self._run = run
        self._options = options
        self._access = access
        self._activity = activity
        self._mark = mark
        self._leaving = anyio.Event()
        self._gone = anyio.Event()

    async def made(self, prompt: str, silence_s: float) -> ResultMessage | Exception:
        """The CLI's result, or how the SDK lost the CLI. Where it had to be ended, the access knows why."""
        ended: ResultMessage | Exception = LLMOSError("The Claude Code CLI was ended.")
        async with anyio.create_task_group() as watches:
            watches.start_soon(self._kill_in_time)
            watches.start_soon(self._watch_silence, silence_s, watches.cancel_scope)
            watches.start_soon(self._watch_cut, watches.cancel_scope)
            # Caught here: a task group would wrap it.
            try:
                ended = await self._talk(prompt, watches)
            except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
                ended = error
            finally:
                self._gone.set()
            watches.cancel_scope.cancel()
        if isinstance(ended, Exception) and not is_of_sdk(ended) and self._access.refusal is None:
            raise ended
        return ended

    async def _talk(self, prompt: str, watches: TaskGroup) -> ResultMessage:
        async with self._connected(watches) as client:
            await client.query(prompt)
            return await self._listen(client)

    @asynccontextmanager
    async def _connected(self, watches: TaskGroup) -> AsyncIterator[ClaudeSDKClient]:
        """A client at work. Disconnecting ends the CLI: it is asked to, then made to, then killed."""
        client = ClaudeSDKClient(self._options)
        await client.connect()
        watches.start_soon(self._watch_exit)
        try:
            yield client
        except anyio.get_cancelled_exc_class():
            # A busy CLI takes 5 s to leave, one that was interrupted leaves at once.
            with anyio.move_on_after(INTERRUPT_S, shield=True):
                await self._interrupt(client)
            raise
        finally:
            self._leaving.set()
            await client.disconnect()

    async def _interrupt(self, client: ClaudeSDKClient) -> None:
        try:
            await client.interrupt()
        except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions here; disconnecting comes next anyway
            self._run.emit(Notice(level="warning", text=f"The CLI could not be interrupted: {error}"))

    async def _kill_in_time(self) -> None:
        """Kill the CLI if it does not leave when it must: at the end of the conversation, or cancelled."""
        try:
            await self._leaving.wait()
        finally:
            with anyio.CancelScope(shield=True):
                with anyio.move_on_after(LEAVE_S):
                    await self._gone.wait()
                if not self._gone.is_set():
                    await to_thread.run_sync(processes.kill, MARK, self._mark)

    async def _watch_silence(self, limit_s: float, scope: anyio.CancelScope) -> None:
        await self._activity.silence(limit_s)
        self._access.refuse(silent(limit_s))
        scope.cancel()

    async def _watch_exit(self) -> None:
        """The SDK does not see a CLI end whose children hold its output open."""
        await processes.exit_of_child(MARK, self._mark)
        await anyio.sleep(EXIT_S)
        await processes.end(MARK, self._mark)

    async def _watch_cut(self, scope: anyio.CancelScope) -> None:
        await self._access.cut.wait()
        scope.cancel()

    async def _listen(self, client: ClaudeSDKClient) -> ResultMessage:
        """Tell what happens, until the result."""
        agents = Agents(self._run)
        async for message in client.receive_response():
            self._activity.seen()
            await self._access.heard(message)
            self._tell(message, agents)
            if isinstance(message, ResultMessage):
                return message
        raise LLMOSError("The Claude Code CLI ended without a result.", "", "Try again, or look with: llmos doctor")

    def _tell(self, message: Message, agents: Agents) -> None:
        match message:
            case AssistantMessage(error=None):
                agent_id = agents.of(message.parent_tool_use_id)
                for block in message.content:
                    if isinstance(block, TextBlock) and block.text:
                        self._run.emit(LlmOutput(text=block.text, agent_id=agent_id))
            case TaskStartedMessage() | TaskNotificationMessage():
                agents.note(message)
            case SystemMessage(subtype="api_retry"):
                self._activity.seen(quiet_s=_delay_s(message))
                self._run.emit(Notice(level="warning", text=_retrying(message)))
            case _:
                pass


def _delay_s(message: SystemMessage) -> float:
    delay = message.data.get("retry_delay_ms")
    return delay / 1000 if isinstance(delay, int | float) else 0.0


def _retrying(message: SystemMessage) -> str:
    reason = message.data.get("error_status") or "no connection"
    attempt = message.data.get("attempt")
    return f"The model did not answer ({reason}); attempt {attempt} follows in {_delay_s(message):.1f} s."
