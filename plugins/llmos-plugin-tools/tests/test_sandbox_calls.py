"""System calls that no command needs, modes that no file gets, and calls that are meant to end the watch."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Awaitable, Callable

import pytest

from llmos_core import ToolCall
from llmos_plugin_tools import plugin
from llmos_plugin_tools.sandbox import told
from llmos_plugin_tools.sandbox.syscalls import SYSCALLS
from llmos_plugin_tools.settings import SandboxSettings, ToolsSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")

Python = Callable[[str], Awaitable[str]]

BASH = ToolCall(id="1", tool="Bash", input={"command": "true"})

CALL = """import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    result = libc.syscall(*(ctypes.c_ulong(one) if isinstance(one, int) else one for one in arguments))
    return errno.errorcode[ctypes.get_errno()] if result < 0 else "done"
"""


@pytest.fixture(params=["landlock", "bubblewrap"])
def kind(request: pytest.FixtureRequest, run) -> str:
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(kind=request.param, processes=4))
    return request.param


@pytest.fixture
async def python(kind: str, call, run) -> Python:
    """Runs code in the sandbox."""
    if verdict := await plugin.llmos_pre_tool_use(BASH, run):
        pytest.skip(verdict.reason)

    async def python(code: str) -> str:
        (run.workdir / "code.py").write_text(CALL + code)
        return (await call("Bash", command=f"{sys.executable} -I -S code.py 2>&1")).output

    return python


async def test_an_address_that_is_none_is_told_so(python: Python) -> None:
    for address in (1, (1 << 47) + 5, 1 << 63, (1 << 64) - 4096, (1 << 64) - 1):
        for name, more in (("fchmodat", (0o600,)), ("fchownat", (0, 0, 0)), ("utimensat", (0, 0))):
            code = f"print(call({SYSCALLS[name]}, {2**64 - 100}, {address}, {', '.join(map(str, more))}))"
            assert await python(code) == "EFAULT", (name, address)
    assert await python("open('f', 'w'); os.chmod('f', 0o640); print('on')") == "on"


def test_whatever_goes_wrong_with_a_call_is_its_own_fault(monkeypatch, capsys) -> None:
    answers = []

    def ioctl(listener: int, request: int, data: bytearray) -> None:
        if request == told._RECEIVE:
            data[:] = told._NOTIFICATION.pack(7, os.getpid(), 0, 999_999, 0, 0, *[0] * 6)
        else:
            answers.append(told._ANSWER.unpack(data))

    monkeypatch.setattr(told.fcntl, "ioctl", ioctl)
    told.Told(-1, [], lambda: True).answer()
    assert answers == [(7, 0, -errno.EPERM, 0)]
    assert "KeyError: 999999" in capsys.readouterr().err


MAKERS = (
    "os.chmod('f', 0o4755)",
    "os.chmod('f', 0o6777)",
    "os.fchmod(os.open('f', os.O_RDONLY), 0o4711)",
    "os.chmod(os.open('f', os.O_PATH), 0o4711)",
    "os.close(os.open('g', os.O_CREAT | os.O_WRONLY, 0o6755))",
    "os.link(f\"/proc/self/fd/{os.open('.', os.O_TMPFILE | os.O_WRONLY, 0o4755)}\", 'g', follow_symlinks=True)",
    "os.mknod('g', 0o104755)",
    "libc.creat(b'g', 0o6755)",
    "call({openat2}, {at}, b'g', (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_WRONLY, 0o4755, 0), 24)",
)


@pytest.mark.parametrize("maker", MAKERS)
async def test_no_program_of_another_users_rights_is_made(python: Python, run, maker: str) -> None:
    code = maker.replace("{openat2}", str(SYSCALLS["openat2"])).replace("{at}", str(2**64 - 100))
    await python(f"os.umask(0); open('f', 'w')\ntry: {code}\nexcept OSError: pass")
    for name in ("f", "g"):
        file = run.workdir / name
        assert not file.exists() or stat.S_IMODE(file.stat().st_mode) & 0o6000 == 0


async def test_a_directory_hands_on_its_group(python: Python) -> None:
    assert await python("os.mkdir('d'); os.chmod('d', 0o2755); print(oct(os.stat('d').st_mode))") == "0o42755"
    assert await python("open('d/f', 'w'); os.chmod('d/f', 0o1755); print(oct(os.stat('d/f').st_mode))") == "0o101755"


NAMESPACES = ("unshare", "setns")
MOUNTS = ("fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "move_mount", "mount_setattr")


@pytest.mark.parametrize("kind", ["landlock"], indirect=True)
@pytest.mark.parametrize("name", [*NAMESPACES, *MOUNTS, "userfaultfd"])
async def test_what_no_command_needs_is_refused(python: Python, name: str) -> None:
    assert await python(f"print(call({SYSCALLS[name]}, -1 & {2**64 - 1}, 0, 0, 0, 0))") == "EPERM"


@pytest.mark.parametrize("kind", ["landlock"], indirect=True)
@pytest.mark.parametrize("flag", [0x20000, *(1 << bit for bit in range(25, 31))])
async def test_no_process_begins_in_a_namespace_of_its_own(python: Python, flag: int) -> None:
    code = f"pid = libc.syscall({SYSCALLS['clone']}, {flag | 17}, 0, 0, 0, 0)\npid == 0 and os._exit(0)\n"
    assert await python(f"{code}print(pid, errno.errorcode.get(ctypes.get_errno()))") == "-1 EPERM"


async def test_threads_are_bounded_with_the_processes(python: Python) -> None:
    """Sixteen for each of the four."""
    code = "import threading, time\nfor _ in range({}): threading.Thread(target=time.sleep, args=({},)).start()\n"
    assert await python(code.format(40, 0.5) + "print('on')") == "on"
    assert "it started too many processes" in await python(code.format(80, 100))
