"""Seals: of their user only, of exactly these bytes, and with one key, whoever makes it."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos_core import LLMOSError, is_sealed, seal


@pytest.fixture
def key(llmos_home: Path) -> Path:
    """Where the key of the test's user lies."""
    return llmos_home / ".data/llmos/seal.key"


def test_the_user_knows_their_seal(key: Path) -> None:
    assert is_sealed(b"something", seal(b"something"))
    assert seal(b"something") == seal(b"something")
    assert [path.name for path in key.parent.iterdir()] == ["seal.key"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


# The key stays the same for all examples.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(min_size=1), at=st.integers(min_value=0), flip=st.integers(1, 255))
def test_one_changed_byte_is_another_thing(key: Path, data: bytes, at: int, flip: int) -> None:
    at %= len(data)
    changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
    made = seal(data)
    assert is_sealed(data, made)
    assert not any(is_sealed(other, made) for other in (changed, data[:-1], data + b"\0", b""))


@pytest.mark.parametrize("other", ["", "0" * 64, "é", "\0", "x" * 1_000])
def test_what_is_no_seal(key: Path, other: str) -> None:
    made = seal(b"something")
    assert not is_sealed(b"something", other)
    assert not is_sealed(b"something", made[:-1] + chr(ord(made[-1]) ^ 1))


def test_to_ask_makes_no_key(key: Path) -> None:
    assert not is_sealed(b"something", "0" * 64)
    assert not key.parent.exists()


def test_another_user_has_another(key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = seal(b"something")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
    assert not is_sealed(b"something", mine)
    assert seal(b"something") != mine
    assert not is_sealed(b"something", mine)


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 31, b"x" * 33])
def test_a_damaged_key_seals_nothing_and_is_made_anew(key: Path, damage: bytes) -> None:
    before = seal(b"something")
    key.write_bytes(damage)
    assert not is_sealed(b"something", before)
    assert key.read_bytes() == damage
    after = seal(b"something")
    assert is_sealed(b"something", after)
    assert not is_sealed(b"something", before)
    assert [path.name for path in key.parent.iterdir()] == ["seal.key"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize("place", ["/proc", "FILE"])
def test_where_no_key_can_be_made_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", place.replace("FILE", str(tmp_path / "file")))
    assert not is_sealed(b"something", "0" * 64)
    with pytest.raises(
        LLMOSError, match=r"^Nothing can be sealed\.\nThe key for it, .*llmos/seal\.key, can be neither"
    ):
        seal(b"something")


def test_a_key_that_cannot_be_read_now_is_not_made_anew(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, bytes_before = seal(b"something"), key.read_bytes()

    def fail(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        assert not is_sealed(b"something", made)
        with pytest.raises(LLMOSError, match="Permission denied"):
            seal(b"something")
    assert key.read_bytes() == bytes_before
    assert is_sealed(b"something", made)


MAKER = """
import os, sys
from llmos_core import seal
print("ready", flush=True)
sys.stdin.read(1)
for number in range(40):
    os.environ["XDG_DATA_HOME"] = f"{sys.argv[1]}/{number}"
    print(seal(b"something"))
"""


@pytest.mark.slow
def test_of_several_processes_that_make_the_key_all_use_one(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    makers = [
        subprocess.Popen([sys.executable, "-c", MAKER, str(tmp_path)], stdin=pipe, stdout=pipe, text=True)
        for _ in range(3)
    ]
    try:
        for maker in makers:
            assert maker.stdout is not None
            assert maker.stdout.readline() == "ready\n"
        for maker in makers:
            assert maker.stdin is not None
            maker.stdin.write("!")
            maker.stdin.flush()
        seals = [maker.communicate()[0].split() for maker in makers]
    finally:
        for maker in makers:
            maker.kill()
            maker.wait()
    assert seals[0] == seals[1] == seals[2]
    assert len(set(seals[0])) == 40
    assert all(len(list((tmp_path / str(number) / "llmos").iterdir())) == 1 for number in range(40))
