"""Bash: one command in a shell of its own."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from anyio import to_thread
from pydantic import BaseModel, Field

from llmos_core import Run, ToolResult
from llmos_plugin_tools import sandbox
from llmos_plugin_tools.base import Input, KernelTool, Refused
from llmos_plugin_tools.environment import command_environment
from llmos_plugin_tools.paths import check_in_place, real
from llmos_plugin_tools.process import Capture, Finished, run_process
from llmos_plugin_tools.sandbox.guard import NO_NETWORK, NOT_OFFLINE
from llmos_plugin_tools.settings import MAX_TIMEOUT_MS, ToolsSettings

SHELL = "/bin/bash"
TIMED_OUT = 143
"""The exit code of a command that passed its timeout."""

STOPPED = {"memory": "it used too much memory", "processes": "it started too many processes"}

CWD_RESET = "Shell cwd was reset to ."
NO_OUTPUT = "(Bash completed with no output)"

_BLANK_START = re.compile(r"\A(?:[^\S\n]*\n)+")
_LONGEST_PATH = 4096


class BashInput(Input):
    command: Annotated[str, Field(description="The command to run")]
    timeout: Annotated[int | None, Field(gt=0, description="Timeout in milliseconds, at most 600000")] = None
    description: Annotated[str | None, Field(description="What the command does, in a few words")] = None


class Bash(KernelTool[BashInput]):
    """Runs a command with bash.

    The shell's directory is kept between calls in ``run.state["Bash"]``, relative to the working directory: a Run with
    a state of its own starts there.
    """

    name = "Bash"
    description = (
        "Runs a command with /bin/bash and gives its output, standard error included. Every call is a new shell: only "
        "the current directory carries over, and only inside the working directory. There is no input and no terminal. "
        "Files can be written in the working directory and in $TMPDIR only. "
        "Processes left in the background are ended with the call."
    )
    input_model: type[BaseModel] = BashInput
    effect_class = "external"

    async def act(self, input: BashInput, run: Run) -> ToolResult:
        if "\0" in input.command:
            raise Refused("A command cannot hold a NUL character.")
        settings = run.settings(ToolsSettings)
        timeout_ms = min(input.timeout or settings.bash_timeout_ms, MAX_TIMEOUT_MS)
        limit = settings.max_output_chars
        state = run.state.setdefault(self.name, {"cwd": "."})
        workdir, cwd = await to_thread.run_sync(_directories, run, state["cwd"])
        finished, left_in = await _shell(input.command, run, (workdir, cwd), timeout_ms / 1000, keep=4 * limit)
        output, truncated = _shorten(finished.output, limit)
        if left_in is not None:
            inside = left_in.is_relative_to(workdir)
            state["cwd"] = str(left_in.relative_to(workdir)) if inside else "."
            output = output if inside else "\n".join(filter(None, (output, CWD_RESET)))
        exit_code = TIMED_OUT if finished.timed_out else finished.exit_code
        if exit_code != 0 and not settings.sandbox.network:  # whatever this run may do, so that replays print the same
            output = "\n".join(filter(None, (output, NO_NETWORK)))
        return ToolResult(
            output=_report(output, exit_code, _why(finished, timeout_ms / 1000)),
            is_error=exit_code != 0,
            exit_code=exit_code,
            data={"timed_out": finished.timed_out, "truncated": truncated},
        )


def _directories(run: Run, remembered: str) -> tuple[Path, Path]:
    """The resolved working directory, and where to start: there, if the remembered one is gone or leads out of it.

    Raises Refused if the working directory leads elsewhere now.
    """
    check_in_place(run)
    workdir = real(run.workdir)
    path = real(workdir / remembered)
    return workdir, path if path.is_dir() and path.is_relative_to(workdir) else workdir


async def _shell(
    command: str, run: Run, directories: tuple[Path, Path], timeout_s: float, keep: int
) -> tuple[Finished, Path | None]:
    """Run a command, and the directory the shell was in at its end; None if it failed, exited or timed out."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(reader, False)
        try:
            finished = await _run(command, run, directories, timeout_s, keep, writer)
        finally:
            os.close(writer)
        answer = b""
        with suppress(BlockingIOError):
            answer = os.read(reader, _LONGEST_PATH + 1)
    finally:
        os.close(reader)
    told = answer.endswith(b"\n") and b"\0" not in answer
    return finished, Path(os.fsdecode(answer[:-1])) if told else None


async def _run(
    command: str, run: Run, directories: tuple[Path, Path], timeout_s: float, keep: int, report: int
) -> Finished:
    workdir, cwd = directories
    if not sandbox.IS_LINUX:  # nothing of the sandbox is there; a guard has asked
        if run.is_offline:
            raise Refused(NOT_OFFLINE)
        env = {**command_environment(), **run.task.env}
        return await run_process(
            _script(command, report), cwd=cwd, env=env, timeout_s=timeout_s, keep=keep, pass_fds=[report]
        )
    from llmos_plugin_tools.sandbox.service import sandbox_of

    confined = await sandbox_of(run)
    return await confined.run(
        _script(command, sandbox.REPORT_FD),
        workdir=workdir,
        workspace=run.workspace,
        cwd=cwd,
        env=run.task.env,
        timeout_s=timeout_s,
        keep=keep,
        report=report,
        offline=run.is_offline,
    )


def _script(command: str, report: int) -> list[str]:
    # The command's children get no hold of the pipe. A command that writes to it can tell no more than `cd` can.
    script = f"eval {shlex.quote(command)} {report}>&- && {{ pwd -P >&{report}; true; }} 2>/dev/null"
    return [SHELL, "-c", script]


def _shorten(captured: Capture, limit: int) -> tuple[str, bool]:
    """The output as text without blank lines at its start and blanks at its end, and whether it was cut.

    What the text does not show is told by a digest, so that a replay whose output differs there differs too.
    """
    whole = f"[SHA-256 of the whole output: {captured.digest}]"
    if captured.complete:
        raw = captured.head + captured.tail
        text = _BLANK_START.sub("", raw.decode("utf-8", "replace")).rstrip()
        if len(text) <= limit:
            return (f"{text}\n{whole}" if _holds_no_text(raw) else text), False
        head = tail = text
    else:
        head = _BLANK_START.sub("", captured.head.decode("utf-8", "replace"))
        tail = captured.tail.decode("utf-8", "replace").rstrip()
    half = limit // 2
    note = f"[Output of {captured.total} bytes cut: its first and its last {half} characters are shown.]"
    return f"{head[:half]}\n\n... {note} ...\n... {whole} ...\n\n{tail[-half:]}", True


def _holds_no_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return False


def _why(finished: Finished, timeout_s: float) -> str:
    """What ended the command, if it did not end itself."""
    if finished.timed_out:
        return f"Command timed out after {timeout_s:g}s"
    return f"Command ended: {STOPPED[finished.stopped]}" if finished.stopped else ""


def _report(output: str, exit_code: int, why: str) -> str:
    if exit_code == 0:
        return output or NO_OUTPUT
    return "\n".join(filter(None, (f"Exit code {exit_code}", why, output)))
