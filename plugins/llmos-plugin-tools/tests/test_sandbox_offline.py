"""What must not reach a network does not, whatever the settings say; where nothing can keep it off, it does not run."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack

import anyio
import pytest

from llmos_core import Run, ToolCall
from llmos_plugin_tools import plugin, sandbox
from llmos_plugin_tools.sandbox import probe
from llmos_plugin_tools.sandbox.probe import Choice
from llmos_plugin_tools.sandbox.service import opened
from llmos_plugin_tools.settings import SandboxSettings, ToolsSettings
from llmos_testkit import in_run
from llmos_testkit.systems import MakeSystem

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")

CONNECT = "exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached"
UNIX = '{py} -I -S -c \'import socket as s; s.socket(s.AF_UNIX).connect("s"); print("reached")\''
BASH = ToolCall(id="1", tool="Bash", input={"command": "true"})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """That of a server on loopback."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        yield listener.extra(anyio.abc.SocketAttribute.local_port)


@pytest.fixture(params=["landlock", "bubblewrap"])
async def kind(request: pytest.FixtureRequest) -> str:
    """The sandboxes that work here."""
    async with opened(SandboxSettings(kind=request.param)) as tried:
        if tried.choice.kind is None:
            pytest.skip(tried.choice.why)
    return request.param


async def test_the_network_is_there_unless_it_is_off(call, run, kind: str, port: int) -> None:
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(kind=kind))
    assert (await call("Bash", command=CONNECT.format(port=port))).output == "reached"
    run.services.clear()
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(kind=kind, network=False))
    off = await call("Bash", command=CONNECT.format(port=port))
    assert off.is_error
    assert "reached" not in off.output


@pytest.mark.parametrize(
    "command",
    [
        CONNECT,
        "exec 3<>/dev/udp/127.0.0.1/{port} && echo out >&3 && echo sent",
        '{py} -I -S -c \'import socket; socket.create_connection(("127.0.0.1", {port})); print("reached")\'',
        "(cd {workspace}/data; " + UNIX + ")",
        "(cd {workdir}; " + UNIX + ")",
        "unshare -Urn true; nsenter -t 1 -n true; " + CONNECT,
    ],
)
async def test_a_run_that_went_offline_reaches_nothing(call, run, kind, port, command, monkeypatch) -> None:
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(kind=kind, network=True))
    (run.workspace / "data").mkdir()
    with ExitStack() as stack:
        for place in (run.workspace / "data", run.workdir):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            monkeypatch.chdir(place)  # its name must be short
            listener.bind("s")
            listener.listen()
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", port))
        udp.setblocking(False)
        given = command.format(port=port, py=sys.executable, workspace=run.workspace, workdir=run.workdir)
        if UNIX not in command:  # which is never reached
            before = await call("Bash", command=given)
            assert "reached" in before.output or udp.recv(9) == b"out\n"
        run.go_offline()
        after = await call("Bash", command=f"{given}; echo on")
        assert "reached" not in after.output
        assert after.output.endswith("on")
        with pytest.raises(BlockingIOError):
            udp.recv(9)


async def test_what_needs_no_network_works_offline(call, run, kind: str) -> None:
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(kind=kind))
    run.go_offline()
    assert await plugin.llmos_pre_tool_use(BASH, run) is None
    pair = f"{sys.executable} -I -S -c 'import socket; a, b = socket.socketpair(); a.send(b\"x\"); print(b.recv(1))'"
    assert (await call("Bash", command=f"echo a > f; cat f | tr a b; {pair}")).output == "b\nb'x'"


async def test_it_holds_in_copies_and_for_sub_agents(llmos_system: MakeSystem, kind: str, port: int) -> None:
    settings = {"plugins": {"tools": {"sandbox": {"kind": kind}}}}
    system = llmos_system(plugin, settings=settings, on_disk=True)
    number = 0

    async def reached(run: Run, agent: str | None = None) -> bool:
        nonlocal number
        number += 1
        call = ToolCall(id=str(number), tool="Bash", input={"command": CONNECT.format(port=port)}, agent_id=agent)
        result = await run.call(call)
        assert "denied" not in result.data, result.output
        return result.output == "reached"

    async def act(run: Run) -> list[bool]:
        found = [await reached(run), await reached(run, "agent")]
        async with run.scratch() as copy:
            found.append(await reached(copy))
        run.go_offline()
        found += [await reached(run), await reached(run, "agent")]
        async with run.scratch() as copy:
            found += [await reached(copy), await reached(copy, "agent")]
        return found

    assert await in_run(system, act) == [True, True, True, False, False, False, False]


@pytest.mark.parametrize("accepted", [True, False])
async def test_without_a_sandbox_nothing_runs_offline(call, run, monkeypatch, accepted: bool) -> None:
    monkeypatch.setattr(probe, "_chosen", {"auto": Choice(None, "landlock: this kernel has none")})
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(kind="none" if accepted else "auto"))
    assert (await call("Bash", command="echo on")).output == "on"
    run.go_offline()
    verdict = await plugin.llmos_pre_tool_use(BASH, run)
    assert verdict is not None
    assert (verdict.decision, verdict.rule) == ("deny", "offline")
    assert ('kind = "none"' if accepted else "this kernel has none") in verdict.reason
    refused = await call("Bash", command="touch ran")
    assert (refused.is_error, "must not reach a network" in refused.output) == (True, True)
    assert not (run.workdir / "ran").exists()
    assert await plugin.llmos_pre_tool_use(BASH.model_copy(update={"tool": "Read"}), run) is None


async def test_on_other_systems_nothing_runs_offline(call, run, monkeypatch) -> None:
    monkeypatch.setattr(sandbox, "IS_LINUX", False)
    run.go_offline()
    verdict = await plugin.llmos_pre_tool_use(BASH, run)
    assert verdict is not None
    assert (verdict.decision, verdict.rule, "they need Linux" in verdict.reason) == ("deny", "offline", True)
    assert (await call("Bash", command="touch ran")).is_error
    assert not (run.workdir / "ran").exists()
