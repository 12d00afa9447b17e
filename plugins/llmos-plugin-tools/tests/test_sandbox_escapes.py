"""Every trick first gets out where nothing holds it, and then out of no sandbox that works here."""

from __future__ import annotations

import ctypes
import os
import pty
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from llmos_plugin_tools.sandbox.service import Sandbox, opened
from llmos_plugin_tools.settings import SandboxSettings

SECRET = "c4n4ry0f7h3m1n3"
KINDS = ("landlock", "bubblewrap")
SHARED = ("/dev/shm", "/tmp", "/var/tmp")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")

libc = ctypes.CDLL(None, use_errno=True)


TRICKS = Path(__file__).with_name("payloads")
PLACES = ("home", "memories", "state", "agents", "plugins")


@dataclass(frozen=True)
class Payload:
    """A command that reaches outside. ``place``: where ``{p}`` lies. ``needs``: a program, or ``root``.

    Placeholders: ``{p}`` a file that is there, ``{d}`` its directory, ``{b}`` its name, ``{n}`` one in that directory
    that is not there; ``{py}`` an interpreter, ``{pid}`` a process that is not the command's, ``{tag}`` a name that
    nobody else has, and the addresses of listeners.
    """

    name: str
    command: str
    place: str = "outside"
    needs: str | None = None


def parsed(kind: str) -> list[Payload]:
    """A line each; ``@program`` before it if it needs one, ``#root`` if only root can do harm. Heredocs end at X."""
    text = (TRICKS / f"{kind}.txt").read_text()
    found = []
    for number, match in enumerate(re.finditer(r"(?m)^(?:[@#](\S+) )?(.*<<'X'\n(?:.*\n)*?X|.+)$", text)):
        found.append(Payload(f"{kind}-{number}", match[2], needs=match[1]))
    return found


def payloads() -> list[Payload]:
    """Every trick: half of them against a file outside, half against what the user and the workspace keep."""
    found = []
    for kind, places in (("read", PLACES[:3]), ("write", PLACES)):
        for number, payload in enumerate(parsed(kind)):
            place = places[number // 2 % len(places)] if number % 2 else "outside"
            found.append(replace(payload, name=f"{payload.name}-{place}", place=place))
    return found + parsed("other")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def sandboxes(anyio_backend: str) -> AsyncIterator[dict[str, Sandbox]]:
    """The sandboxes that work here, without and with network, and none."""
    async with AsyncExitStack() as stack:
        found = {}
        for kind in ("none", *KINDS):
            sandbox = await stack.enter_async_context(opened(SandboxSettings(kind=kind, network=kind == "none")))
            if sandbox.choice.kind is not None:
                found[kind] = sandbox
            if kind in found and kind != "none":
                settings = SandboxSettings(kind=kind, network=True)
                found[f"{kind}, network on"] = await stack.enter_async_context(opened(settings))
        yield found


@dataclass
class World:
    """What lies around a working directory, and whether it was touched."""

    root: Path
    tag: str
    stack: ExitStack
    values: dict[str, object] = field(default_factory=dict)

    @property
    def workdir(self) -> Path:
        return self.root / "workspace/projects/default/output"

    def build(self, place: str) -> None:
        self.workdir.mkdir(parents=True)
        spots = {"outside": self.root / "outside", "home": self.root / "home/.ssh"}
        spots |= {name: self.root / "workspace" / name for name in ("memories", "state", "agents", "plugins")}
        for spot in spots.values():
            spot.mkdir(parents=True)
            (spot / "secret.txt").write_text(f"canary={SECRET}\n")
        target = spots[place] / "secret.txt"
        self.values = {"p": target, "d": target.parent, "b": target.name, "n": target.parent / "new"}
        self.values |= {"py": sys.executable, "tag": self.tag}
        self._other_process(target.parent)
        self._listen()
        self._share()
        self.before = self._state()

    def _other_process(self, place: Path) -> None:
        """A process that is not the command's, with a secret in its environment, as ours has."""
        with (place / "secret.txt").open() as held:
            self.process = self.stack.enter_context(
                subprocess.Popen(
                    [self.tag, "1000"],
                    executable=shutil.which("sleep"),
                    env={"KEY": SECRET},
                    cwd=place,
                    stdin=held,
                    start_new_session=True,
                )
            )
        self.stack.callback(self.process.kill)
        self.values["pid"] = self.process.pid

    def _listen(self) -> None:
        kinds = {
            "tcp": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "stream": (socket.AF_UNIX, socket.SOCK_STREAM, f"/var/tmp/{self.tag}.s"),
            "dgram": (socket.AF_UNIX, socket.SOCK_DGRAM, f"/var/tmp/{self.tag}.d"),
            "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.tag}"),
        }
        self.sockets = []
        for name, (family, kind, address) in kinds.items():
            listener = self.stack.enter_context(socket.socket(family, kind))
            listener.bind(address)
            if kind == socket.SOCK_STREAM:
                listener.listen()
            listener.setblocking(False)
            if family == socket.AF_UNIX and not address.startswith("\0"):
                self.stack.callback(Path(address).unlink)
            where = address[1:] if name == "abstract" else address
            self.values[name] = listener.getsockname()[1] if family == socket.AF_INET else where
            self.sockets.append(listener)

    def _share(self) -> None:
        """Memory, a queue and a terminal that are not the command's."""
        self.terminal, slave = pty.openpty()
        self.stack.callback(os.close, self.terminal)
        self.stack.callback(os.close, slave)
        os.set_blocking(self.terminal, False)
        self.values["pts"] = os.ttyname(slave)
        self.shm = libc.shmget(0, 4096, 0o1600)
        libc.shmat.restype = ctypes.c_void_p
        self.memory = libc.shmat(self.shm, None, 0)
        self.values["shm"] = self.shm
        self.stack.callback(libc.shmctl, self.shm, 0, None)
        self.stack.callback(libc.shmdt, ctypes.c_void_p(self.memory))
        attributes = (ctypes.c_long * 8)(0, 4, 16)
        self.queue = libc.mq_open(f"/{self.tag}".encode(), os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600, attributes)
        assert self.queue >= 0
        self.stack.callback(libc.mq_unlink, f"/{self.tag}".encode())
        self.stack.callback(os.close, self.queue)

    def _state(self) -> list[object]:
        found: list[object] = []
        for path in sorted([self.root, *self.root.rglob("*")]):
            if path.is_relative_to(self.workdir):
                continue
            status = path.lstat()
            times = (status.st_mtime_ns, status.st_ctime_ns)
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found.append((path, status.st_mode, status.st_uid, status.st_gid, status.st_nlink, times, content))
        found.append([Path(place, self.tag).exists() for place in SHARED])
        return found

    def escaped(self, output: bytes) -> bool:
        """Whether a secret came in or anything outside is another than before."""
        return (
            SECRET.encode() in output
            or any(SECRET.encode() in content for content in self._contents())
            or self._state() != self.before
            or self._process_was_reached()
            or any(self._received(listener) for listener in self.sockets)
            or self._shared_was_reached()
        )

    def _contents(self) -> Iterator[bytes]:
        for path in self.workdir.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path.read_bytes()

    def _process_was_reached(self) -> bool:
        if self.process.poll() is not None:
            return True
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        adjusted = Path(f"/proc/{self.process.pid}/oom_score_adj").read_text().strip()
        limit = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        own = Path("/proc/self/oom_score_adj").read_text().strip()
        return state == "T" or adjusted != own or limit != resource.getrlimit(resource.RLIMIT_NOFILE)

    def _received(self, listener: socket.socket) -> bool:
        try:
            if listener.type == socket.SOCK_STREAM:
                listener.accept()[0].close()
            else:
                listener.recv(9)
        except BlockingIOError:
            return False
        return True

    def _shared_was_reached(self) -> bool:
        with suppress(BlockingIOError):
            if os.read(self.terminal, 9):
                return True
        buffer = ctypes.create_string_buffer(16)
        return ctypes.string_at(self.memory, 1) != b"\0" or libc.mq_receive(self.queue, buffer, 16, None) > 0


async def escapes(sandbox: Sandbox, payload: Payload, root: Path) -> bool:
    with ExitStack() as stack:
        world = World(root, f"llmos-{os.getpid()}-{root.name}", stack)
        world.build(payload.place)
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        for place in SHARED:
            stack.callback(Path(place, world.tag).unlink, missing_ok=True)
        finished = await sandbox.run(
            ["/bin/bash", "-c", payload.command.format(**world.values)],
            workdir=world.workdir,
            workspace=root / "workspace",
            cwd=world.workdir,
            env={},
            timeout_s=30,
            keep=1_000_000,
            report=writer,
        )
        assert not finished.timed_out, finished.output.head
        return world.escaped(finished.output.head)


@pytest.mark.parametrize("payload", payloads(), ids=lambda payload: payload.name)
async def test_no_trick_gets_out(payload: Payload, sandboxes: dict[str, Sandbox], tmp_path: Path) -> None:
    if payload.needs == "root" and os.geteuid() != 0:
        pytest.skip("it takes root to do harm")
    if payload.needs not in (None, "root") and shutil.which(payload.needs) is None:
        pytest.skip(f"{payload.needs} is not installed")
    if len(sandboxes) == 1:
        pytest.skip("no sandbox works here")
    assert await escapes(sandboxes["none"], payload, tmp_path / "none"), "it gets out of nothing"
    # With the network on, sockets in the file system and abstract ones are none of it.
    local = any(word in payload.command for word in ("{stream}", "{dgram}", "{abstract}"))
    for kind in KINDS:
        for name in (kind, f"{kind}, network on") if local else (kind,):
            if name in sandboxes:
                assert not await escapes(sandboxes[name], payload, tmp_path / name), name


@pytest.mark.parametrize("kind", KINDS)
async def test_the_tricks_were_tried_in(kind: str, sandboxes: dict[str, Sandbox]) -> None:
    """It says so where they were not: the test above takes what there is."""
    async with opened(SandboxSettings(kind=kind)) as tried:
        if tried.choice.kind is None:
            pytest.skip(f"no trick was tried in {kind}: {tried.choice.why}")
    assert {kind, f"{kind}, network on"} <= sandboxes.keys()


def test_there_are_enough_tricks() -> None:
    assert len({payload.command for payload in payloads()}) >= 200
    assert {payload.place for payload in payloads()} == {"outside", *PLACES}
