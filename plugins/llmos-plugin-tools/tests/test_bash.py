from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from llmos_plugin_tools import process, sandbox
from llmos_plugin_tools.environment import ADDRESSES, CERTIFICATES, FIXED, KEPT, command_environment
from llmos_plugin_tools.settings import ToolsSettings


def is_gone(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(b")")[2].split()[0] in (b"Z", b"X")


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - the file system sends no event
            await anyio.sleep(0.01)


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def pids(work: Path) -> list[int]:
    return [int(line) for line in (work / "pids").read_text().split()]


@pytest.mark.parametrize(
    ("command", "output", "exit_code"),
    [
        ("echo hi", "hi", 0),
        ("true", "(Bash completed with no output)", 0),
        ("", "(Bash completed with no output)", 0),
        ("echo a # b", "a", 0),
        ("cat <<'EOF'\nit's\nEOF", "it's", 0),
        ("echo out; echo err >&2; echo end; exit 3", "Exit code 3\nout\nerr\nend", 3),
        ("false", "Exit code 1", 1),
        ("printf '\\n \\n  a\\n\\nb  \\n\\n'", "  a\n\nb", 0),
        ("cat; echo $?", "0", 0),
        ("test -t 0 || test -t 1 || echo none", "none", 0),
        ("set -e; false; echo on", "on", 0),
        ("echo $0 $#", "/bin/bash 0", 0),
        ("kill -9 $$", "Exit code 137", 137),
        ("nosuchcmd", "Exit code 127\n/bin/bash: line 1: nosuchcmd: command not found", 127),
        ("exec 1>&2; echo moved", "moved", 0),
    ],
)
async def test_output_and_exit_code(call, command, output, exit_code) -> None:
    result = await call("Bash", command=command, description="x")
    assert (result.output, result.exit_code, result.is_error) == (output, exit_code, exit_code != 0)
    assert result.data == {"timed_out": False, "truncated": False}


async def test_a_syntax_error_is_the_models_failure(call) -> None:
    result = await call("Bash", command="echo '")
    assert result.exit_code not in (0, None)
    assert "unexpected EOF" in result.output


async def test_nothing_but_the_directory_persists(call, work) -> None:
    (work / "sub" / "deep").mkdir(parents=True)
    await call("Bash", command="x=1; export y=2; alias z=ls; cd sub/deep")
    assert (await call("Bash", command='echo "$x$y"; alias; pwd')).output == str(work / "sub" / "deep")
    assert (await call("Bash", command="cd ..; pwd")).output == str(work / "sub")
    assert (await call("Bash", command="cd deep; false")).exit_code == 1
    assert (await call("Bash", command="pwd")).output == str(work / "sub")


async def test_the_directory_is_kept_per_run_and_relative(call, run, work, tmp_path) -> None:
    (work / "sub").mkdir()
    await call("Bash", command="cd sub")
    assert run.state == {"Bash": {"cwd": "sub"}}
    run.workdir = tmp_path / "copy"
    (run.workdir / "sub").mkdir(parents=True)
    assert (await call("Bash", command="pwd")).output == str(run.workdir / "sub")
    run.state = {}
    assert (await call("Bash", command="pwd")).output == str(run.workdir)


async def test_leaving_the_working_directory_resets_it(call, run, work) -> None:
    (work / "sub").mkdir()
    (work / "out").symlink_to("/")
    await call("Bash", command="cd sub")
    assert (await call("Bash", command="cd ../..; echo hi")).output == "hi\nShell cwd was reset to ."
    assert (await call("Bash", command="pwd")).output == str(work)
    assert (await call("Bash", command="cd out")).output == "Shell cwd was reset to ."
    assert run.state == {"Bash": {"cwd": "."}}
    assert (await call("Bash", command="cd /; exit 4")).output == "Exit code 4"


async def test_a_directory_that_is_gone_or_became_a_way_out_is_forgotten(call, work) -> None:
    await call("Bash", command="mkdir sub; cd sub")
    await call("Bash", command="cd ..; rm -r sub; ln -s / sub; cd - >/dev/null")
    assert (await call("Bash", command="pwd")).output == str(work)
    assert (await call("Bash", command="rm sub; mkdir sub; cd sub")).exit_code == 0
    (work / "sub").rmdir()
    (work / "sub").symlink_to("/")
    assert (await call("Bash", command="pwd")).output == str(work)
    assert (await call("Bash", command="mkdir x; cd x; rmdir ../x")).exit_code == 0
    assert (await call("Bash", command="pwd")).output == str(work)


async def test_a_command_that_lies_about_its_directory_gets_nowhere(call, work) -> None:
    for text in ("/", f"{work}/..", "..", "nowhere", f"{work}/a\\0b", ""):
        forge = (
            f"for fd in /proc/self/fd/*; do [ ${{fd##*/}} -gt 2 ] && printf '{text}\\n' >$fd; done 2>/dev/null; exit 0"
        )
        assert not (await call("Bash", command=forge)).is_error
        assert (await call("Bash", command="pwd")).output == str(work)


async def test_a_command_inherits_no_file_of_ours(call, work) -> None:
    (work / "secret").write_text("planted")
    with (work / "secret").open() as file:
        os.set_inheritable(file.fileno(), True)
        assert (await call("Bash", command="ls /proc/self/fd")).output == "0\n1\n2\n3"


async def test_a_timeout_kills_grandchildren(call, work) -> None:
    command = "echo before; (sleep 100 & echo $! >>pids; wait) & echo $$ $! >>pids; timeout 100 sleep 100"
    result = await call("Bash", command=command, timeout=2000)
    assert result.output == "Exit code 143\nCommand timed out after 2s\nbefore"
    assert (result.exit_code, result.is_error, result.data["timed_out"]) == (143, True, True)
    assert len(pids(work)) == 3
    assert all(is_gone(pid) for pid in pids(work))


async def test_the_settings_timeout_holds_and_says_its_length(call, run) -> None:
    run.tools_settings = ToolsSettings(bash_timeout_ms=250)
    assert (await call("Bash", command="sleep 100")).output == "Exit code 143\nCommand timed out after 0.25s"


async def test_a_longer_timeout_than_the_maximum_is_the_maximum(call, monkeypatch) -> None:
    monkeypatch.setattr("llmos_plugin_tools.bash.MAX_TIMEOUT_MS", 200)
    assert "timed out after 0.2s" in (await call("Bash", command="sleep 100", timeout=999_999)).output


async def test_processes_that_ignore_sigterm_are_killed(call, work, monkeypatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.2)
    command = "trap '' TERM; echo $$ >pids; (trap '' TERM; echo $BASHPID >>pids; while :; do sleep 1; done)"
    result = await call("Bash", command=command, timeout=1500)
    assert result.exit_code == 143
    assert len(pids(work)) == 2
    assert all(is_gone(pid) for pid in pids(work))


async def test_processes_get_the_chance_to_end_themselves(call, work) -> None:
    command = "trap 'echo bye; exit' TERM; while :; do sleep 0.05; done"
    result = await call("Bash", command=command, timeout=1500)
    assert result.output.endswith("\nbye")


@pytest.mark.parametrize("background", ["sleep 100 &", "set -m; sleep 100 &", "timeout 9 sleep 100 >/dev/null 2>&1 &"])
async def test_background_children_end_with_the_command(call, work, background) -> None:
    with anyio.fail_after(30):
        result = await call("Bash", command=f"{background} echo $! >pids; echo done")
    assert result.output == "done"
    assert all(is_gone(pid) for pid in pids(work))


async def test_a_child_that_left_the_session_ends_too(call, work) -> None:
    left = "[ $(cut -d' ' -f6 /proc/$!/stat) != $$ ]"
    with anyio.fail_after(30):
        result = await call("Bash", command=f"setsid sleep 100 & echo $! >pids; until {left}; do :; done; echo done")
    assert result.output == "done"
    assert is_gone(pids(work)[0])


async def test_cancelling_kills_the_command(call, work) -> None:
    await call("Bash", command="true")
    before = open_files()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: call("Bash", command="sleep 100 & echo $$ $! >pids.new; mv pids.new pids; wait"))
        await until((work / "pids").exists)
        tasks.cancel_scope.cancel()
    assert len(pids(work)) == 2
    assert all(is_gone(pid) for pid in pids(work))
    assert open_files() == before


async def test_without_proc_the_process_group_is_killed(call, work, monkeypatch) -> None:
    monkeypatch.setattr(sandbox, "IS_LINUX", False)
    monkeypatch.setattr(process, "PROC", Path("/nonexistent"))
    monkeypatch.setattr(process, "GRACE_S", 0.2)
    monkeypatch.setattr(process, "REAP_S", 0.2)
    result = await call("Bash", command="sleep 100 & echo $! >pids; sleep 100", timeout=1500)
    assert result.exit_code == 143
    await until(lambda: all(is_gone(pid) for pid in pids(work)))


async def test_no_credential_reaches_a_command(call, monkeypatch, work) -> None:
    hook = work / "hook.sh"
    hook.write_text("echo sourced")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-secret")
    monkeypatch.setenv("BASH_ENV", str(hook))
    monkeypatch.setenv("PYTHONPATH", "planted-secret")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.delenv("HOME", raising=False)
    output = (await call("Bash", command="env; cat /proc/$PPID/stat >/dev/null; true")).output
    assert "planted-secret" not in output
    assert "sourced" not in output
    names = {line.partition("=")[0] for line in output.splitlines()}
    kept = KEPT | ADDRESSES | CERTIFICATES | FIXED.keys()
    assert names <= kept | {"LC_TIME", "LC_ALL", "LC_CTYPE", "PWD", "OLDPWD", "SHLVL", "_"}
    assert {"LC_TIME", "PATH", *FIXED} <= names


def test_the_environment_is_an_allowlist() -> None:
    source = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "TERM": "xterm", "AWS_SECRET_ACCESS_KEY": "x", "LCX": "y"}
    assert command_environment(source) == {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", **FIXED}
    assert command_environment({})["PATH"] == os.defpath


async def test_big_output_keeps_head_and_tail(call) -> None:
    result = await call("Bash", command="seq 1 2000000")
    total = sum(len(str(number)) + 1 for number in range(1, 2_000_001))
    whole = hashlib.sha256(b"".join(b"%d\n" % number for number in range(1, 2_000_001))).hexdigest()
    note = f"\n\n... [Output of {total} bytes cut: its first and its last 15000 characters are shown.] ...\n"
    head, _, tail = result.output.partition(f"{note}... [SHA-256 of the whole output: {whole}] ...\n\n")
    assert (len(head), len(tail)) == (15_000, 15_000)
    assert head.startswith("1\n2\n3\n")
    assert tail.endswith("1999999\n2000000")
    assert (result.data["truncated"], result.is_error) == (True, False)


async def test_output_is_cut_by_characters(call, run) -> None:
    run.tools_settings = ToolsSettings(max_output_chars=1000)
    assert (await call("Bash", command="printf 'é%.0s' {1..1000}")).output == "é" * 1000
    result = await call("Bash", command="printf 'é%.0s' {1..1001}; exit 2")
    assert result.output.startswith("Exit code 2\n" + "é" * 500 + "\n\n... [Output of 2002 bytes")
    assert result.output.endswith("] ...\n\n" + "é" * 500)


async def test_what_the_output_does_not_show_still_tells(call) -> None:
    """A replay whose output differs in bytes that are no text, or where it was cut, must not look the same."""
    one, other = [(await call("Bash", command=f"printf 'a\\x{byte}b'")).output for byte in ("ff", "fe")]
    assert one.startswith("a\N{REPLACEMENT CHARACTER}b\n[SHA-256 of the whole output: ")
    assert one != other
    long = "head -c 100000 /dev/zero | tr '\\0' a; {}; head -c 100000 /dev/zero | tr '\\0' a"
    one, other = [(await call("Bash", command=long.format(f"printf {middle}"))).output for middle in "xy"]
    assert one != other


async def test_endless_output_stays_bounded_in_memory(call) -> None:
    result = await call("Bash", command="yes", timeout=700)
    assert result.exit_code == 143
    assert len(result.output) < 31_000


def test_a_capture_keeps_a_bounded_part() -> None:
    capture = process.Capture(keep=10)
    for _ in range(1000):
        capture.add(b"0123456789abcde")
        assert len(capture.head) + len(capture.tail) <= 30 + 15
    assert capture.head == b"0123456789"
    assert capture.tail.endswith(b"56789abcde")
    assert (capture.total, capture.complete) == (15_000, False)


async def test_what_cannot_be_started_is_a_failure_with_words(call, run, work) -> None:
    nul = await call("Bash", command="echo \0")
    assert (nul.output, nul.is_error) == ("A command cannot hold a NUL character.", True)
    long = await call("Bash", command="x" * 200_000)
    assert (long.output, long.is_error) == ("Bash failed: Argument list too long", True)
    before = open_files()
    work.rmdir()
    assert (await call("Bash", command="echo")).output == "Bash failed: No such file or directory"
    assert open_files() == before
