from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_plugin_tools.replacement import replace

UPDATED = "The file a.txt has been updated successfully."


async def edit(call, old, new, **more):
    return await call("Edit", file_path="a.txt", old_string=old, new_string=new, **more)


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"one two\n", "two", "three", b"one three\n"),
        (b"a.c abc\n", "a.c", r"\1 $& \g<0>", rb"\1 $& \g<0> abc" + b"\n"),
        (b"a\r\nb\r\nc\r\n", "a\nb", "A\nB\nC", b"A\r\nB\r\nC\r\nc\r\n"),
        (b"a\r\nb\r\n", "a\r\nb", "A\r\nB", b"A\r\nB\r\n"),
        (b"a\r\nb\r\n", "b", "c\nd", b"a\r\nc\r\nd\r\n"),
        (b"a\r\nb\nc\nd\n", "b\nc", "B\nC", b"a\r\nB\nC\nd\n"),
        (b"a\r\nb\nc\nd\n", "a\nb", "x", b"x\nc\nd\n"),
        (b"\xef\xbb\xbfa\r\nb\r\n", "a\nb", "A\nB", b"\xef\xbb\xbfA\r\nB\r\n"),
        ("h\u00e9llo\r\n".encode("utf-16"), "h\u00e9llo", "hi\nyou", "hi\r\nyou\r\n".encode("utf-16")),
        (b"\xfe\xff" + "a b".encode("utf-16-be"), "b", "c", b"\xfe\xff" + "a c".encode("utf-16-be")),
        (b"a\nb\nc\n", "b", "", b"a\nc\n"),
        (b"a\nb\nc\n", "b\n", "", b"a\nc\n"),
        (b"a\r\nb\r\nc\r\n", "b", "", b"a\r\nc\r\n"),
        (b"a b c\n", " b", "", b"a c\n"),
        (b"a\nb", "b", "", b"a\n"),
    ],
)
async def test_edit(call, work, before, old, new, after) -> None:
    (work / "a.txt").write_bytes(before)
    result = await edit(call, old, new)
    assert (result.output, result.is_error) == (UPDATED, False)
    assert result.data == {"file_path": "a.txt", "replacements": 1}
    assert (work / "a.txt").read_bytes() == after


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (
            "He said \u201chi\u201d and it\u2019s \u2018ok\u2019.",
            "said \"hi\" and it's 'ok'",
            'said "yo" and it\'s \'fine\' ("x")',
            "He said \u201cyo\u201d and it\u2019s \u2018fine\u2019 (\u201cx\u201d).",
        ),
        ('say "hi"', "say \u201chi\u201d", "say \u201cyo\u201d", "say \u201cyo\u201d"),
        ('it\u2019s "so"\r\nok\r\n', 'it\'s "so"\nok', 'it\'s\n"no"', 'it\u2019s\r\n"no"\r\n'),
        ("it's \u2018it\u2019", "it's", "'t", "'t \u2018it\u2019"),
        ("it's \u2018a\u2019", "it's \u2018a\u2019", "it's 'b'", "it's 'b'"),
    ],
)
async def test_quotes_match_their_typographic_forms(call, work, before, old, new, after) -> None:
    (work / "a.txt").write_bytes(before.encode())
    assert (await edit(call, old, new)).output == UPDATED
    assert (work / "a.txt").read_bytes().decode() == after


async def test_replace_all(call, work) -> None:
    (work / "a.txt").write_text("x\ny\nx\nz x z\n")
    refused = await edit(call, "x", "w")
    assert refused.is_error
    assert refused.output == (
        "Found 3 matches of the string to replace, but replace_all is false. To replace all occurrences, set "
        "replace_all to true. To replace only one occurrence, please provide more context to uniquely identify the "
        "instance.\nString: x"
    )
    assert (work / "a.txt").read_text() == "x\ny\nx\nz x z\n"
    result = await edit(call, "x", "", replace_all="true")
    assert result.output == "The file a.txt has been updated. All occurrences were successfully replaced."
    assert result.data["replacements"] == 3
    assert (work / "a.txt").read_text() == "y\nz  z\n"


async def test_matches_that_share_a_line_end_are_all_deleted(call, work) -> None:
    (work / "a.txt").write_text("\na\na\nb\n")
    assert not (await edit(call, "\na", "", replace_all=True)).is_error
    assert (work / "a.txt").read_text() == "b\n"


async def test_an_empty_old_string_creates(call, work) -> None:
    assert (await edit(call, "", "new\n")).output == UPDATED
    assert (work / "a.txt").read_text() == "new\n"
    result = await edit(call, "", "again")
    assert (result.output, result.is_error) == ("Cannot create new file - file already exists.", True)
    (work / "a.txt").write_text("")
    assert (await edit(call, "", "filled")).output == UPDATED
    deep = await call("Edit", file_path="p/q/b.txt", old_string="", new_string="x")
    assert not deep.is_error
    assert (work / "p/q/b.txt").read_text() == "x"


async def test_errors(call, work) -> None:
    missing = await edit(call, "a", "b")
    assert (missing.output, missing.is_error) == ("File does not exist.", True)
    (work / "a.txt").write_bytes(b"abc")
    absent = await edit(call, "x", "y")
    assert (absent.output, absent.is_error) == ("String to replace not found in file.\nString: x", True)
    same = await edit(call, "a", "a")
    assert same.is_error
    assert same.output == "No changes to make: old_string and new_string are exactly the same."
    tail = "nothing was written. Change it with a command that keeps its encoding."
    for data, reason in ((b"caf\xe9 a", "is not valid UTF-8"), (b"a\0", "holds NUL bytes, so it is binary")):
        (work / "a.txt").write_bytes(data)
        result = await edit(call, "a", "b")
        assert (result.output, result.is_error) == (f"The file {reason}; {tail}", True)
        assert (work / "a.txt").read_bytes() == data


async def test_refuses_links_directories_and_devices(call, work) -> None:
    (work / "target.txt").write_text("a")
    (work / "a.txt").symlink_to("target.txt")
    assert "symbolic link" in (await edit(call, "a", "b")).output
    (work / "sub").mkdir()
    os.mkfifo(work / "fifo")
    for path, reason in (("sub", "a directory, not a file"), ("fifo", "not a regular file")):
        for old in ("a", ""):
            result = await call("Edit", file_path=path, old_string=old, new_string="b")
            assert (result.output, result.is_error) == (f"{path} is {reason}.", True)
    assert (work / "target.txt").read_text() == "a"


async def test_keeps_mode_bits(call, work) -> None:
    (work / "a.txt").write_text("a")
    (work / "a.txt").chmod(0o755)
    await edit(call, "a", "b")
    assert stat.S_IMODE((work / "a.txt").stat().st_mode) == 0o755


plain = st.text(alphabet="ab\n\\$.*[é", max_size=30)


@given(content=plain, old=plain.filter(bool), new=plain.filter(bool))
def test_replaces_as_str_replace_does(content: str, old: str, new: str) -> None:
    result = replace(content, old, new)
    assert result.content == content.replace(old, new)
    assert result.count == content.count(old)


@given(content=plain, old=plain.filter(bool), new=plain.filter(bool))
def test_replaces_in_crlf_files_as_if_they_had_lf(content: str, old: str, new: str) -> None:
    result = replace(content.replace("\n", "\r\n"), old, new)
    if "\n" in content:
        assert result.content == content.replace(old, new).replace("\n", "\r\n")
    assert result.count == content.count(old)


quoted = st.text(alphabet="a\"'\u201c\u201d\u2018\u2019\r\n", max_size=20)


@given(before=quoted, old=quoted.filter(bool), after=quoted, new=quoted)
def test_text_outside_the_matches_never_changes(before: str, old: str, after: str, new: str) -> None:
    content = f"{before}<{old}>{after}"
    result = replace(content, f"<{old}>", f"<{new}>")
    assert result.count == 1
    assert result.content.startswith(f"{before}<")
    assert result.content.endswith(f">{after}")
