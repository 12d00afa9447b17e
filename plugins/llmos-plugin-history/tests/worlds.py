"""Directories, what can happen to them, and runs that let it happen."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel

from llmos_core import LLMOS, Bid, Effect, PastRun, Result, Run, Task, ToolCall, ToolResult, hookimpl
from llmos_core.host.settings import SettingsFile
from llmos_plugin_history.store import UndoStore
from llmos_plugin_history.undoing import carry_out, make_plan

Act = Callable[[Path], Any]


class Nothing(BaseModel):
    pass


class Doing:
    """A plugin whose one tool does what a test says, and whose strategy calls it."""

    def __init__(self, act: Act | None, effect: Effect = "workspace") -> None:
        self.act = act
        self._effect: Effect = effect

    @hookimpl
    def llmos_tools(self) -> Sequence[Any]:
        return [self] if self.act else []

    @hookimpl
    def llmos_strategies(self) -> Sequence[Any]:
        return [Caller()] if self.act else []

    name = "Do"
    description = "Does it."
    input_model = Nothing

    def effect(self, input: Any) -> Effect:
        return self._effect

    async def run(self, input: Any, run: Run) -> ToolResult:
        assert self.act
        self.act(run.workdir)
        return ToolResult(output="done")


class Caller:
    name = "CALLER"
    learns = False

    async def bid(self, task: Task, run: Run) -> Bid:
        return Bid(fit=1.0, reason="scripted")

    async def run(self, task: Task, run: Run) -> Result:
        result = await run.call(ToolCall(id="c1", tool="Do", input={}))
        return Result(success=not result.is_error, output=result.output)


def system(space: Path, act: Act | None = None, effect: Effect = "workspace") -> LLMOS:
    return LLMOS(space, settings=SettingsFile(), discover=False, plugins={"doing": Doing(act, effect)})


def happened(space: Path, place: Path, act: Act, effect: Effect = "workspace") -> PastRun:
    """A run that did ``act`` in ``place``."""
    made = system(space, act, effect)
    outcome = anyio.run(lambda: made.execute("Do it", directory=str(place)))
    assert outcome.success, outcome.error
    return made.past(outcome.run_id)


def undo(space: Path, past: PastRun, *, back: bool = False, directory: Path | None = None) -> None:
    """What the command does once it is confirmed."""
    store = UndoStore(space / "state/undo")
    with store.locked():
        carry_out(store, past, make_plan(store, past, str(directory) if directory else None, back=back))


def seen(root: Path) -> Mapping[str, tuple[Any, ...]]:
    """Everything in a directory: kinds, modes, bytes, targets."""
    found = {}
    for path in root.rglob("*"):
        info = path.lstat()
        name = path.relative_to(root).as_posix()
        if stat.S_ISLNK(info.st_mode):
            found[name] = ("link", str(path.readlink()))
        elif stat.S_ISDIR(info.st_mode):
            found[name] = ("directory", stat.S_IMODE(info.st_mode))
        else:
            found[name] = ("file", stat.S_IMODE(info.st_mode), path.read_bytes())
    return found


def write(path: Path, data: bytes | str = b"", mode: int = 0o644) -> None:
    """Put a file there, whatever was there before."""
    clear(path)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(mode)


def make_directory(path: Path, mode: int = 0o755) -> None:
    if path.is_symlink() or not path.is_dir():
        clear(path)
        path.mkdir()
    path.chmod(mode)


def link(path: Path, target: str) -> None:
    clear(path)
    path.symlink_to(target)


def move(path: Path, target: Path) -> None:
    if os.path.lexists(path) and path not in (target, *target.parents) and target not in path.parents:
        clear(target)
        path.rename(target)


def join(path: Path, target: Path) -> None:
    """A second name for a file."""
    if path.is_file() and not path.is_symlink() and path != target and path not in target.parents:
        clear(target)
        target.hardlink_to(path)


def change_mode(path: Path, mode: int) -> None:
    if path.exists() and not path.is_symlink():
        path.chmod(mode)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def clear(path: Path) -> None:
    """Nothing at a path, and directories above it: what else is in their place goes."""
    for parent in reversed(path.parents):
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            parent.unlink()
        parent.mkdir(exist_ok=True)
    if os.path.lexists(path):
        remove(path)


def furnish(root: Path) -> None:
    """A directory with something of every kind."""
    write(root / "edited.txt", "one\ntwo\nthree\n")
    write(root / "gone.txt", "to be deleted\n")
    write(root / "moved.txt", "the same bytes\n")
    write(root / "tool", b"\x7fELF\0", 0o4755)
    write(root / "secret", "hidden", 0o600)
    write(root / "same", "untouched")
    write(root / "was a file", "a file\n", 0o640)
    write(root / "was-a-dir/deep/in.txt", "inner\n")
    make_directory(root / "was-a-dir/deep", 0o2750)
    make_directory(root / "empty", 0o1777)
    make_directory(root / "shared", 0o755)
    write(root / "shared/x\ny ü", "x")
    make_directory(root / "closed", 0o755)
    write(root / "closed/kept", "kept")
    link(root / "link", "same")
    link(root / "dangling", "nowhere")
    link(root / "link-to-dir", "shared")


def overturn(root: Path) -> None:
    """Every kind of change to it."""
    write(root / "edited.txt", "one\n2\nthree\nfour\n")
    remove(root / "gone.txt")
    move(root / "moved.txt", root / "shared/moved.txt")
    (root / "tool").chmod(0o755)
    (root / "secret").chmod(0o644)
    remove(root / "was a file")
    write(root / "was a file/now/inside.txt", "in a directory")
    remove(root / "was-a-dir")
    write(root / "was-a-dir", "now a file\n", 0o444)
    remove(root / "empty")
    write(root / "shared/x\ny ü", b"\xff\0binary")
    write(root / "closed/kept", "changed")
    write(root / "closed/new", "new")
    (root / "closed").chmod(0o555)
    link(root / "link", "edited.txt")
    write(root / "dangling", "a file now")
    remove(root / "link-to-dir")
    make_directory(root / "link-to-dir", 0o700)
    link(root / "new-link", "../outside")
    make_directory(root / "new-empty/nested", 0o2711)
    join(root / "same", root / "hard")
