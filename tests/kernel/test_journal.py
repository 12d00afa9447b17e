"""The journal: one line an event, whole after a crash, free of credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmos_core import LLMOSError, Notice, Outcome, RunFinished
from llmos_core.kernel.journal import FileJournal, read_events, read_outcome

OUTCOME = Outcome(
    run_id="r",
    goal="g",
    mode="LEARNER",
    success=True,
    output="o" * 5000,
    cost_usd=0,
    billing="free",
    saved_usd=0,
    duration_s=0,
    steps=0,
    trace_id=None,
    trace_version=None,
    project="default",
    directory=None,
    error=None,
)


async def test_what_was_appended_reads_back(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "day" / "run.jsonl")
    events = [Notice(text="one\ntwo\u2028three"), RunFinished(outcome=OUTCOME)]
    for event in events:
        journal.append(event)
    await journal.sync()
    assert [event async for event in journal.events()] == events
    journal.close()
    assert read_outcome(journal.path) == events[1]


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "run.jsonl")
    journal.append(Notice(text="whole"))
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'{"type":"notice","text":"cut o')
    assert [event.type for event in read_events(journal.path)] == ["notice"]
    assert read_outcome(journal.path) is None


def test_a_damaged_line_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"no json\n")
    with pytest.raises(LLMOSError, match="cannot be read"):
        list(read_events(path))


def test_credentials_never_reach_the_file(tmp_path: Path) -> None:
    secret = 'sk-"quoted"-secret'
    journal = FileJournal(tmp_path / "run.jsonl", secrets=[secret])
    journal.append(Notice(text=f"the key is {secret}!"))
    journal.close()
    assert [event.text for event in read_events(journal.path) if isinstance(event, Notice)] == ["the key is ***!"]


def test_a_journal_is_never_written_over(tmp_path: Path) -> None:
    FileJournal(tmp_path / "run.jsonl").close()
    with pytest.raises(FileExistsError):
        FileJournal(tmp_path / "run.jsonl")


def test_nothing_is_written_to_a_closed_journal(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "run.jsonl")
    journal.close()
    (tmp_path / "precious").write_text("")
    with (tmp_path / "precious").open("w"), pytest.raises(LLMOSError, match="has ended"):
        journal.append(Notice(text="late"))
    assert (tmp_path / "precious").read_text() == ""


def test_a_damaged_line_is_told_where_asked(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "run.jsonl")
    journal.append(Notice(text="one"))
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b"no event\n" + Notice(text="three").model_dump_json().encode() + b"\n")
    texts = [event.text for event in read_events(journal.path, damaged=True) if isinstance(event, Notice)]
    assert texts == ["one", "Line 2 of the journal cannot be read.", "three"]


def test_a_text_that_is_none_is_written_as_well_as_it_can_be(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "run.jsonl")
    journal.append(Notice.model_construct(text="a\udcffb", level="info"))
    journal.close()
    assert [event.text for event in read_events(journal.path) if isinstance(event, Notice)] == ["a?b"]


def test_a_long_outcome_is_found(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "run.jsonl")
    ended = RunFinished(outcome=OUTCOME.model_copy(update={"output": "o" * 3_000_000}))
    journal.append(Notice(text="one"))
    journal.append(ended)
    journal.close()
    assert read_outcome(journal.path) == ended
