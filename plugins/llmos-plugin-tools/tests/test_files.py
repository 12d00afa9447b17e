from __future__ import annotations

import os
import stat

import pytest

from llmos_plugin_tools import files
from llmos_plugin_tools.read import EMPTY, LOSSY, SHORT


async def test_write_creates_with_parents_and_then_updates(call, work) -> None:
    created = await call("Write", file_path="p/q/primes.py", content="print(2)\n")
    assert created.output == "File written successfully: p/q/primes.py"
    assert created.data == {"file_path": "p/q/primes.py", "created": True, "bytes": 9}
    updated = await call("Write", file_path="p/q/primes.py", content="é")
    assert updated.output == "File written successfully: p/q/primes.py"
    assert (work / "p/q/primes.py").read_bytes() == "é".encode()
    absolute = str(work / "b.txt")
    assert (await call("Write", file_path=absolute, content="")).output == f"File written successfully: {absolute}"


async def test_write_keeps_mode_bits_and_new_files_follow_the_umask(call, work) -> None:
    script = work / "run.sh"
    script.write_text("old")
    script.chmod(0o750)
    old = os.umask(0o027)
    try:
        await call("Write", file_path="run.sh", content="new")
        await call("Write", file_path="new.sh", content="new")
    finally:
        os.umask(old)
    assert stat.S_IMODE(script.stat().st_mode) == 0o750
    assert stat.S_IMODE((work / "new.sh").stat().st_mode) == 0o640


async def test_write_writes_exactly_what_is_given(call, work) -> None:
    (work / "crlf.txt").write_bytes(b"a\r\nb\r\n")
    await call("Write", file_path="crlf.txt", content="a  \nb\n\0")
    assert (work / "crlf.txt").read_bytes() == b"a  \nb\n\0"


async def test_write_refuses_links_directories_and_devices(call, work) -> None:
    (work / "target.txt").write_text("keep")
    (work / "link.txt").symlink_to("target.txt")
    (work / "dangling.txt").symlink_to("nothing.txt")
    (work / "sub").mkdir()
    os.mkfifo(work / "fifo")
    expected = {
        "link.txt": "Refusing to write link.txt: it is a symbolic link. Write to target.txt instead.",
        "dangling.txt": "Refusing to write dangling.txt: it is a symbolic link. Write to nothing.txt instead.",
        "sub": "sub is a directory, not a file.",
        ".": ". is a directory, not a file.",
        "fifo": "fifo is not a regular file.",
    }
    for path, output in expected.items():
        result = await call("Write", file_path=path, content="x")
        assert (result.output, result.is_error) == (output, True)
    assert (work / "target.txt").read_text() == "keep"
    assert not (work / "nothing.txt").exists()


async def test_a_failed_write_leaves_the_old_file_and_no_other(call, work, monkeypatch) -> None:
    (work / "a.txt").write_text("old")

    def fail(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        assert (target, src_dir_fd) == ("a.txt", dst_dir_fd)
        assert (work / source).read_text() == "new"
        assert (work / target).read_text() == "old"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    result = await call("Write", file_path="a.txt", content="new")
    assert (result.output, result.is_error) == ("Write failed: No space left on device", True)
    assert list(work.iterdir()) == [work / "a.txt"]
    assert (work / "a.txt").read_text() == "old"


async def test_a_write_breaks_hard_links_instead_of_writing_through_them(call, work) -> None:
    other = work.parents[3] / "outside.txt"
    os.link(other, work / "linked.txt")
    await call("Write", file_path="linked.txt", content="new")
    assert other.read_text() == "needle\n"


@pytest.mark.parametrize(
    ("data", "more", "output"),
    [
        (b"a\nb\n", {}, "1\ta\n2\tb\n3\t"),
        (b"a\nb", {}, "1\ta\n2\tb"),
        (b"a\r\nb\r\n", {}, "1\ta\n2\tb\n3\t"),
        ("\u2028a\x0bb\rc\n".encode(), {"limit": 1}, "1\t\u2028a\x0bb\rc"),
        (b"\xef\xbb\xbfa", {}, "1\ta"),
        ("h\u00e9\r\n".encode("utf-16"), {}, "1\th\u00e9\n2\t"),
        (b"\xfe\xff" + "h\u00e9".encode("utf-16-be"), {}, "1\th\u00e9"),
        (b"a\nb\nc\nd", {"offset": 2, "limit": 2}, "2\tb\n3\tc"),
        (b"a\nb", {"offset": "2"}, "2\tb"),
        (b"a\nb", {"offset": 0, "limit": 1}, "1\ta"),
        (b"a\nb\n", {"offset": 3}, "3\t"),
        (b"", {}, EMPTY),
        (
            b"a\nb\n",
            {"offset": 50},
            SHORT.format(offset=50, lines=3),
        ),
        (
            b"caf\xe9",
            {},
            "1\tcaf\ufffd" + LOSSY,
        ),
    ],
)
async def test_read_numbers_lines(call, work, data, more, output) -> None:
    (work / "a.txt").write_bytes(data)
    result = await call("Read", file_path="a.txt", **more)
    assert (result.output, result.is_error) == (output, False)


async def test_read_reports_what_it_read(call, work) -> None:
    (work / "a.txt").write_text("a\nb\nc")
    result = await call("Read", file_path="a.txt", offset=2, limit=1)
    assert result.data == {"file_path": "a.txt", "start_line": 2, "lines": 1, "total_lines": 3}


async def test_read_errors(call, work, monkeypatch) -> None:
    (work / "bin.dat").write_bytes(bytes(range(256)))
    (work / "sub").mkdir()
    os.mkfifo(work / "fifo")
    (work / "big.txt").write_text("0123456789\n" * 30_000)
    expected = {
        "missing.txt": "File does not exist.",
        "bin.dat": "Cannot read bin.dat: it is a binary file. Use a command that knows its format.",
        "sub": "sub is a directory, not a file.",
        "fifo": "fifo is not a regular file.",
        "big.txt": "File content (322.3KB) exceeds maximum allowed size (256KB). Use offset and limit parameters to "
        "read specific portions of the file, or search for specific content with Grep.",
    }
    for path, output in expected.items():
        result = await call("Read", file_path=path)
        assert (result.output, result.is_error) == (output, True)
    part = await call("Read", file_path="big.txt", offset=100, limit=2)
    assert part.output == "100\t0123456789\n101\t0123456789"
    assert (await call("Read", file_path="big.txt", limit=29_000)).is_error
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 1000)
    result = await call("Read", file_path="big.txt", limit=1)
    assert result.output == "big.txt is too large (330000 bytes, the limit is 1000). Use Bash."


async def test_exactly_256_kib_are_read(call, work) -> None:
    (work / "a.txt").write_text("x" * (256 * 1024))
    assert not (await call("Read", file_path="a.txt")).is_error
    (work / "a.txt").write_text("x" * (256 * 1024 + 1))
    assert (await call("Read", file_path="a.txt")).is_error
