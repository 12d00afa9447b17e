"""What commands can do in a sandbox, what they are shown, and what happens where none works."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from pydantic import ValidationError

from llmos_core import Run, ToolCall
from llmos_plugin_tools import plugin, sandbox
from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.sandbox import landlock, probe
from llmos_plugin_tools.sandbox.places import carved, system_places, toolchains
from llmos_plugin_tools.sandbox.policy import Policy
from llmos_plugin_tools.sandbox.probe import Choice
from llmos_plugin_tools.settings import SandboxSettings, ToolsSettings
from llmos_testkit import in_run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")

BASH = ToolCall(id="1", tool="Bash", input={"command": "true"})


@pytest.fixture(params=["landlock", "bubblewrap"])
async def confined(request: pytest.FixtureRequest, call, run) -> Callable:
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(kind=request.param))
    if verdict := await plugin.llmos_pre_tool_use(BASH, run):
        pytest.skip(verdict.reason)
    return call


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("echo a > f; chmod 640 f; stat -c %a f", "640"),
        ("echo a > f; chmod +x f; cp -a f g; stat -c %a g", "755"),
        ("mkdir d; chmod 700 d; cd d; chmod 750 .; stat -c %a .", "750"),
        ("touch f; touch -d '2001-02-03 00:00 UTC' f; TZ=UTC date -r f +%F", "2001-02-03"),
        ("touch f; ln -s f l; touch -h -d '2001-02-03 00:00 UTC' l; TZ=UTC stat -c %.10y l f | head -1", "2001-02-03"),
        ("touch -d '2001-02-03 UTC' f; tar cf t f; rm f; tar xf t; TZ=UTC date -r f +%F", "2001-02-03"),
        ("chmod 600 nowhere 2>&1 | grep -o 'No such file'", "No such file"),
        ("touch f; chown $(id -u):$(id -g) f; chown -h $(id -u) f; echo $?", "0"),
        (
            (
                '{py} -I -S -c \'import os; f = os.open("f", 66); os.fchmod(f, 0o604); os.utime(f, (9, 9)); '
                "s = os.fstat(f); print(oct(s.st_mode)[-3:], s.st_mtime)'"
            ),
            "604 9.0",
        ),
        (
            (
                '{py} -I -S -c \'import os; open("f", "w"); f = os.open("f", os.O_PATH); '
                'os.chmod(f"/proc/self/fd/{{f}}", 0o604); print(oct(os.stat("f").st_mode)[-3:])\''
            ),
            "604",
        ),
        ("echo x > $TMPDIR/f; mv $TMPDIR/f .; cat f; echo y > ~/g; cat ~/g", "x\ny"),
        ("echo x > a; ln a b; mkdir d; mv b d/c; cat d/c; rm -r d a", "x"),
        ("cat /proc/self/environ | tr '\\0' '\\n' | grep -c ^PATH=; cat /proc/meminfo | grep -c MemTotal", "1\n1"),
        ("cat <(echo x) | tee >(cat >/dev/null) /dev/stderr 2>/dev/null", "x"),
        (
            "head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; echo x > /dev/null; echo y > /dev/stdout",
            "4\n4\ny",
        ),
        (
            "git init -q r; cd r; git -c user.name=x -c user.email=x commit -q --allow-empty -m a; git log --format=%s",
            "a",
        ),
        (
            'python3 -c \'import json, ssl, sqlite3, subprocess; print(subprocess.run(["echo", "x"]).returncode)\'',
            "x\n0",
        ),
        ("{py} -c 'import pydantic; print(pydantic.__name__)'", "pydantic"),
        ("[ $(id -u) = $(id -u $(id -un)) ] && getent passwd root | cut -d: -f1", "root"),
        ("{py} -I -S -c 'import socket; a, b = socket.socketpair(); a.send(b\"x\"); print(b.recv(1))'", "b'x'"),
        ("cat {workspace}/data/f; cat {workspace}/agents/a.md", "data\nagent"),
    ],
)
async def test_ordinary_work(confined, run, command: str, output: str) -> None:
    for name, text in (("data/f", "data\n"), ("agents/a.md", "agent\n")):
        file = run.workspace / name
        file.parent.mkdir()
        file.write_text(text)
    given = (
        command.format(py=sys.executable, workspace=run.workspace) if "{py}" in command or "{w" in command else command
    )
    result = await confined("Bash", command=given, timeout=30_000)
    assert result.output == output


async def test_calls_at_the_same_time_have_their_own_results(llmos_system) -> None:
    """As models make them: several in one turn, the first of a run among them."""
    system = llmos_system(plugin, on_disk=True)

    async def act(run: Run) -> dict[str, str]:
        outputs: dict[str, str] = {}

        async def bash(name: str) -> None:
            command = f"echo {name}; head -c 200000 /dev/zero | tr '\\0' {name} | wc -c; cd /tmp; exit {name}"
            result = await run.call(ToolCall(id=name, tool="Bash", input={"command": command}))
            outputs[name] = f"{result.exit_code} {result.output}"

        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for number in range(1, 9):
                    tasks.start_soon(bash, str(number))
        return outputs

    expected = {str(number): f"{number} Exit code {number}\n{number}\n200000" for number in range(1, 9)}
    assert await in_run(system, act) == expected


async def test_a_place_of_the_settings_is_found_in_the_home_too(call, run, tmp_path, monkeypatch) -> None:
    home = tmp_path / "home"
    (home / "notes").mkdir(parents=True)
    (home / ".gitconfig").write_text("[user]\n\tname = Zed\n")
    (home / ".netrc").write_text("secret")
    monkeypatch.setenv("HOME", str(home))
    places = {"read": ("~/.gitconfig", "~/gone"), "write": ("~/notes",)}
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(**places))
    result = await call("Bash", command="git config user.name; echo x > ~/notes/n; cat ~/.netrc; echo y > ~/.gitconfig")
    assert "Zed" in result.output
    assert "secret" not in result.output
    assert (home / "notes/n").read_text() == "x\n"
    assert "Zed" in (home / ".gitconfig").read_text()


@pytest.mark.parametrize("place", ["", "memories", "state", "agents", "lessons", "plugins"])
def test_what_rules_the_agent_is_never_writable(run, tmp_path, place: str) -> None:
    own = tmp_path / "own"
    policy = Policy(SandboxSettings(), own)
    policy.bounds(run.workdir, run.workspace)
    policy.bounds(run.workspace / "state" / "scratch-1", run.workspace)
    with pytest.raises(Refused, match="holds what rules the agent"):
        policy.bounds(run.workspace / place, run.workspace)
    with pytest.raises(Refused):
        policy.bounds(tmp_path, run.workspace)
    (run.workspace / place).mkdir(exist_ok=True)
    with pytest.raises(Refused):
        Policy(SandboxSettings(write=(str(run.workspace / place),)), own).bounds(run.workdir, run.workspace)


def test_sealed_places_are_cut_out_of_those_they_lie_in(run, tmp_path) -> None:
    (run.workspace / "data").mkdir()
    (run.workspace / "link").symlink_to("/etc")
    for given in ((), (str(tmp_path),), ("/",)):
        bounds = Policy(SandboxSettings(read=given), tmp_path / "own").bounds(run.workdir, run.workspace)
        opened = [Path(place) for place in bounds.read]
        for name in ("memories", "state"):
            assert not any((run.workspace / name).is_relative_to(place) for place in opened)
        assert any((run.workspace / "data").is_relative_to(place) for place in opened)
        assert run.workspace / "link" not in opened
    assert list(carved([tmp_path / "gone"], [])) == []


def test_of_the_home_only_tools_are_shown(tmp_path) -> None:
    home = tmp_path / "home"
    for name in (".pyenv/shims", ".cargo/bin", ".local/bin", ".local/share/keyrings", ".local/lib", ".ssh", "venv/bin"):
        (home / name).mkdir(parents=True)
    (home / "venv/pyvenv.cfg").touch()
    path = f"{home}/.cargo/bin:{home}/.local/bin:{home}/venv/bin:{home}:/usr/bin:relative"
    found = {place for place in system_places([], {"HOME": str(home), "PATH": path}) if place.startswith(str(home))}
    assert {place.removeprefix(f"{home}/") for place in found} == {
        ".pyenv",
        ".cargo/bin",
        ".local/bin",
        ".local/lib",
        "venv/bin",
        "venv",
    }
    assert toolchains({"HOME": str(home)}) == {"PYENV_ROOT": f"{home}/.pyenv", "PYTHONUSERBASE": f"{home}/.local"}
    opened = set(system_places([], {"HOME": "/"}))
    assert not {"/", "/root", "/home", "/etc", "/etc/shadow", "/var", "/run", "/dev", "/sys"} & opened


async def test_where_no_sandbox_works_bash_asks(call, run, monkeypatch) -> None:
    monkeypatch.setattr(probe, "_chosen", {"auto": Choice(None, "landlock: this kernel has none")})
    verdict = await plugin.llmos_pre_tool_use(BASH, run)
    assert verdict is not None
    assert (verdict.decision, verdict.rule) == ("ask", "no-sandbox")
    assert "this kernel has none" in verdict.reason
    assert 'kind = "none"' in verdict.reason
    assert await plugin.llmos_pre_tool_use(BASH.model_copy(update={"tool": "Read"}), run) is None
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(kind="none"))
    assert await plugin.llmos_pre_tool_use(BASH, run) is None
    assert (await call("Bash", command="echo $HOME")).output == os.environ["HOME"]


async def test_on_other_systems_bash_asks(call, run, monkeypatch) -> None:
    monkeypatch.setattr(sandbox, "IS_LINUX", False)
    verdict = await plugin.llmos_pre_tool_use(BASH, run)
    assert verdict is not None
    assert (verdict.decision, "they need Linux" in verdict.reason) == ("ask", True)
    assert (await call("Bash", command="sleep 100 & echo on")).output == "on"


async def test_root_keeps_no_power_but_that_over_files(confined) -> None:
    result = await confined("Bash", command="grep -E '^Cap(Bnd|Eff|Prm)' /proc/self/status | cut -f2")
    assert all(int(word, 16) & ~0b11111011 == 0 for word in result.output.split()) or os.geteuid() != 0


async def test_a_sandbox_that_lets_out_is_not_chosen(call, run, monkeypatch) -> None:
    monkeypatch.setattr(probe, "_chosen", {})
    monkeypatch.setattr(probe, "confine", lambda kind, command, bounds, cwd: confine("none", command, bounds, cwd))
    from llmos_plugin_tools.sandbox.confine import confine

    verdict = await plugin.llmos_pre_tool_use(BASH, run)
    assert verdict is not None
    assert "landlock: a command got out of it; bubblewrap: " in verdict.reason


async def test_an_old_landlock_is_not_enough(run, call, monkeypatch) -> None:
    monkeypatch.setattr(probe, "_chosen", {})
    monkeypatch.setattr(landlock, "abi", lambda: 2)
    monkeypatch.setenv("PATH", "/nowhere")
    verdict = await plugin.llmos_pre_tool_use(BASH, run)
    assert verdict is not None
    assert "bubblewrap: bwrap is not installed; landlock: this kernel has version 2 of it" in verdict.reason


def test_its_settings_are_the_users_own() -> None:
    assert all(field.json_schema_extra == {"own": True} for field in SandboxSettings.model_fields.values())
    for bad in ({"kind": "jail"}, {"memory_mb": 0}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            SandboxSettings.model_validate(bad)
