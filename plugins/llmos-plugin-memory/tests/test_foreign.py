"""Whose a trace is: the user's who saved it, as long as not one byte of it is another."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from llmos_core import StoredTrace, Trace, Verification, is_sealed, render_trace, trace_version
from llmos_plugin_memory.traces import MarkdownTraceStore

from .test_traces import NOW, trace

VERIFIED = Verification(at=NOW, steps=1, files=0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store(tmp_path: Path) -> MarkdownTraceStore:
    return MarkdownTraceStore(tmp_path / "memories")


@pytest.fixture
async def saved(store: MarkdownTraceStore) -> StoredTrace:
    """A trace that this user saved."""
    return await store.save(trace(verified=VERIFIED))


@pytest.fixture
def become_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on the test is another user."""
    return lambda: monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another-user"))


def seal_of(stored: StoredTrace) -> Path:
    return Path(stored.location).with_suffix(".seal")


async def only(store: MarkdownTraceStore, trace_id: str = "0123456789abcdef") -> StoredTrace:
    [stored] = await store.versions(trace_id)
    return stored


async def test_what_was_saved_here_has_a_seal_of_a_line(store: MarkdownTraceStore, saved: StoredTrace) -> None:
    assert not saved.foreign
    assert await only(store) == saved
    [line, rest] = seal_of(saved).read_text("ascii").split("\n")
    covered = f"llmos trace\n{saved.trace_id}/{saved.version}\n".encode() + Path(saved.location).read_bytes()
    assert rest == ""
    assert is_sealed(covered, line)
    assert sorted(path.name for path in seal_of(saved).parent.iterdir()) == [
        f"{saved.version}.md",
        f"{saved.version}.seal",
    ]


async def test_what_may_not_be_followed_is_sealed_too(store: MarkdownTraceStore) -> None:
    """It may be verified, which makes its calls."""
    experience = await store.save(trace(completed=False, unverified_reason="the run failed"))
    assert experience.refusal == "the run failed"
    assert not experience.foreign


async def test_any_other_byte_is_not_what_was_saved(store: MarkdownTraceStore, saved: StoredTrace) -> None:
    path = Path(saved.location)
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert (await only(store)).foreign, f"byte {at}"
    path.write_bytes(data + b"\n")
    assert (await only(store)).foreign
    path.write_bytes(data)
    assert not (await only(store)).foreign


async def test_another_name_is_not_what_was_saved(store: MarkdownTraceStore, saved: StoredTrace) -> None:
    path = Path(saved.location)
    for at, digit in enumerate(saved.version):
        version = f"{saved.version[:at]}{int(digit, 16) ^ 1:x}{saved.version[at + 1 :]}"
        for place in (path, seal_of(saved)):
            shutil.copy(place, place.with_name(version + place.suffix))
    versions = await store.versions(saved.trace_id)
    assert len(versions) == 17
    assert [stored.version for stored in versions if not stored.foreign] == [saved.version]
    for at, digit in enumerate(saved.trace_id):
        signature = f"{saved.trace_id[:at]}{int(digit, 16) ^ 1:x}{saved.trace_id[at + 1 :]}"
        other = path.parent.with_name(signature)
        other.mkdir()
        for place in (path, seal_of(saved)):
            shutil.copy(place, other)
        assert (await only(store, signature)).foreign


def _remove(place: Path) -> None:
    place.unlink()


def _directory(place: Path) -> None:
    place.unlink()
    place.mkdir()


def _pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def _other_digit(place: Path) -> None:
    text = place.read_text()
    place.write_text(f"{int(text[0], 16) ^ 1:x}{text[1:]}")


def _nothing(place: Path) -> None:
    place.write_bytes(b"")


def _no_text(place: Path) -> None:
    place.write_bytes(b"\xff\x00" * 32)


def _more(place: Path) -> None:
    place.write_text(place.read_text() + "0" * 10_000)


@pytest.mark.parametrize("damage", [_remove, _directory, _pipe, _other_digit, _nothing, _no_text, _more])
async def test_without_a_whole_seal_it_is_foreign(
    store: MarkdownTraceStore, saved: StoredTrace, damage: Callable[[Path], None]
) -> None:
    damage(seal_of(saved))
    found = await only(store)
    assert found.foreign
    assert found == saved.model_copy(update={"foreign": True}), "only that is another"


async def test_a_file_put_there_by_hand_may_be_followed_but_is_foreign(store: MarkdownTraceStore) -> None:
    await store.save(trace(verified=VERIFIED))
    text = render_trace(trace(verified=VERIFIED, answer="planted"))
    found = await only(store)
    Path(found.location).with_name(f"{trace_version(text.encode())}.md").write_text(text, "utf-8")
    by_answer = {one.trace.answer: one for one in await store.versions(found.trace_id) if one.trace}
    assert (by_answer["planted"].refusal, by_answer["planted"].foreign) == (None, True)
    assert not by_answer[""].foreign


async def test_what_another_user_saved_is_foreign_until_it_is_saved_again(
    store: MarkdownTraceStore, saved: StoredTrace, become_another: Callable[[], None]
) -> None:
    become_another()
    assert (await only(store)).foreign
    assert saved.trace
    assert not (await store.save(saved.trace)).foreign
    assert not (await only(store)).foreign


async def test_it_stays_the_users_own_where_the_workspace_is_moved(
    store: MarkdownTraceStore, saved: StoredTrace, tmp_path: Path
) -> None:
    shutil.move(tmp_path / "memories", tmp_path / "elsewhere")
    moved = await only(MarkdownTraceStore(tmp_path / "elsewhere"))
    assert not moved.foreign


async def test_to_save_again_does_not_seal_what_somebody_changed(store: MarkdownTraceStore, saved: StoredTrace) -> None:
    path = Path(saved.location)
    path.write_text(path.read_text("utf-8").replace("hello", "howdy"), "utf-8")
    seal_of(saved).unlink()
    assert saved.trace
    again = await store.save(saved.trace)
    assert (again.foreign, again.intact) == (True, False)


async def test_where_there_is_no_key_it_is_kept_as_foreign(
    store: MarkdownTraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paid for."""
    with monkeypatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", "/proc")
        kept = await store.save(trace(verified=VERIFIED))
        assert (kept.foreign, kept.refusal) == (True, None)
    again = await store.save(trace(verified=VERIFIED))
    assert again == kept.model_copy(update={"foreign": False})


async def test_where_the_seal_cannot_be_written_it_is_kept_as_foreign(
    store: MarkdownTraceStore, saved: StoredTrace
) -> None:
    _directory(seal_of(saved))
    assert saved.trace
    assert (await store.save(saved.trace)).foreign
    seal_of(saved).rmdir()
    assert not (await store.save(saved.trace)).foreign


@pytest.mark.parametrize("damage", [b"", b"short", None])
async def test_with_a_damaged_key_it_is_foreign_until_it_is_saved_again(
    store: MarkdownTraceStore, saved: StoredTrace, llmos_home: Path, damage: bytes | None
) -> None:
    key = llmos_home / ".data/llmos/seal.key"
    key.unlink()
    if damage is not None:
        key.write_bytes(damage)
    assert (await only(store)).foreign
    assert saved.trace
    assert not (await store.save(saved.trace)).foreign


SAVER = """
import os, signal, sys
from pathlib import Path
from llmos_core import parse_trace
from llmos_plugin_memory.traces import MarkdownTraceStore

steps, last, armed = 0, int(sys.argv[3]), False

def watch(event, arguments):
    global steps
    if armed and event in ("open", "os.rename", "os.mkdir", "os.remove", "os.link"):
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

store, trace = MarkdownTraceStore(Path(sys.argv[1])), parse_trace(Path(sys.argv[2]).read_bytes())
sys.addaudithook(watch)
armed = True
store._save(trace)
"""


@pytest.mark.slow
async def test_killed_at_any_step_it_is_foreign_and_saving_again_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is killed before each of its steps in turn, until it comes through."""
    wanted: Trace = trace(verified=VERIFIED)
    (tmp_path / "trace.md").write_text(render_trace(wanted), "utf-8")
    seen, last = set[str](), 0
    while True:
        last += 1
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / f"user-{last}"))
        place = tmp_path / str(last)
        command = [sys.executable, "-c", SAVER, str(place), str(tmp_path / "trace.md"), str(last)]
        done = await anyio.run_process(command, check=False)
        store = MarkdownTraceStore(place)
        left = await store.versions(wanted.goal_signature)
        assert all(stored.intact and stored.trace == wanted for stored in left)
        seen |= {"foreign" if stored.foreign else "own" for stored in left} or {"nothing"}
        assert not (await store.save(wanted)).foreign
        assert not (await only(store)).foreign
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert seen == {"nothing", "foreign", "own"}
