"""The views of a run, fed with events: which lines there are, and what the live view draws in a window."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from rich.cells import cell_len

from llmos_core.cli import live
from llmos_core.cli.live import Block, Frame, LiveProgress, Scene, elapsed
from llmos_core.cli.output import spent
from llmos_core.cli.progress import Progress, summary
from llmos_core.cli.screen import Screen, lay_out
from llmos_core.cli.story import Level, Story
from llmos_core.events import (
    AgentFinished,
    AgentStarted,
    AnyEvent,
    Event,
    LlmDelta,
    LlmOutput,
    ModeChosen,
    ModelUsed,
    Notice,
    RunFinished,
    ToolDenied,
    ToolOutput,
    ToolStarted,
    UserInput,
)
from llmos_core.records import Billing, ErrorInfo, Outcome, Task, ToolCall, ToolResult, Usage, Verdict

RUN, CHILD = "2026-11-22-100000-aaaaaa", "2026-11-22-100001-bbbbbb"


def begun(run_id: str = RUN, parent: str | None = None, goal: str = "Count things", **fields: Any) -> list[AnyEvent]:
    return [
        UserInput(run_id=run_id, task=Task(goal=goal, **fields), parent=parent),
        ModeChosen(run_id=run_id, mode="LEARNER", reason="a model can try"),
    ]


def started(id: str, text: str = "echo hello", agent: str | None = None, run_id: str = RUN) -> ToolStarted:
    call = ToolCall(id=id, tool="Bash", input={"command": text}, agent_id=agent)
    return ToolStarted(run_id=run_id, call=call, effect="external")


def gave(id: str, output: str = "hello", *, is_error: bool = False, run_id: str = RUN) -> ToolOutput:
    result = ToolResult(output=output, is_error=is_error)
    return ToolOutput(run_id=run_id, call_id=id, tool="Bash", result=result, duration_s=0.1)


def said(text: str, agent: str | None = None, run_id: str = RUN) -> LlmOutput:
    return LlmOutput(run_id=run_id, text=text, agent_id=agent)


def used(cost: float, billing: Billing = "rehearsal", agent: str | None = None) -> ModelUsed:
    return ModelUsed(
        run_id=RUN,
        request_id="r",
        provider="p",
        model="m-1",
        status=200,
        usage=Usage(input_tokens=1234, output_tokens=56, cache_read_tokens=7),
        cost_usd=cost,
        billing=billing,
        complete=True,
        agent_id=agent,
    )


def outcome(run_id: str = RUN, output: str = "All counted.", **fields: Any) -> Outcome:
    given = {"goal": "Count things", "mode": "LEARNER", "success": True, "cost_usd": 0.0123, "billing": "rehearsal"}
    rest = {"saved_usd": 0, "duration_s": 1.5, "steps": 1, "trace_id": None, "trace_version": None, "error": None}
    return Outcome(run_id=run_id, output=output, **{**given, **rest, "project": "p", "directory": None, **fields})


def ended(run_id: str = RUN, **fields: Any) -> RunFinished:
    return RunFinished(run_id=run_id, outcome=outcome(run_id, **fields))


def told(events: Sequence[AnyEvent], level: Level = Level.NORMAL, *, transcripts: bool = False) -> list[str]:
    story = Story(level, transcripts=transcripts)
    return [line.text for event in events for line in story.lines(event)]


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_lines_of_a_log() -> None:
    denied = ToolDenied(run_id=RUN, call=ToolCall(id="3", tool="Write"), verdict=Verdict.deny("outside"))
    events = [*begun(), used(0.01), said("I count."), started("1"), gave("1"), started("2"), gave("2", is_error=True)]
    assert told([*events, denied, said("All counted."), ended()]) == [
        "LEARNER: a model can try",
        "  step 1: Bash echo hello",
        "  step 2: Bash echo hello",
        "    failed: hello",
        "  refused: Write: outside",
    ]


def test_verbose_adds_texts_outputs_and_requests() -> None:
    output = "\n".join(f"  line {number}" for number in range(8))
    events = [*begun(), used(0.01), said("I count.\nThen more."), started("1"), gave("1", output)]
    assert told([*events, said("All counted."), ended()], Level.VERBOSE, transcripts=True) == [
        "LEARNER: a model can try",
        "    request to m-1: 1,234 tokens in + 7 cached, 56 out, $0.0100 (list price)",
        "  model: I count.",
        "    Then more.",
        "  step 1: Bash echo hello",
        *[f"    |   line {number}" for number in range(5)],
        "    | ... 3 more lines",
    ]


def test_quiet_says_nothing() -> None:
    assert told([*begun(), Notice(run_id=RUN, text="Mind."), started("1"), gave("1", is_error=True)], Level.QUIET) == []


def test_a_last_text_that_is_not_the_result_is_told() -> None:
    last = [said("I give up."), ended(output="", success=False)]
    assert told([*begun(), *last], transcripts=True)[1:] == ["  model: I give up."]


def test_sub_agents_act_under_their_names() -> None:
    agents = [AgentStarted(run_id=RUN, agent_id=id, name="scribe", task="Write a note") for id in ("a1", "a2")]
    steps = [started("1", "one", "a1"), started("2", "two", "a2"), gave("1", is_error=True), gave("2")]
    texts = [said("Written.", "a2"), said("Who am I?", "unknown-agent")]
    done = [AgentFinished(run_id=RUN, agent_id="a2", name="scribe")]
    assert told([*begun(), *agents, *steps, *texts, *done], transcripts=True)[1:] == [
        "  scribe begins: Write a note",
        "  scribe 2 begins: Write a note",
        "  scribe, step 1: Bash one",
        "  scribe 2, step 2: Bash two",
        "    step 1 failed: hello",
        "  scribe 2: Written.",
        "  agent unknown-: Who am I?",
        "  scribe 2 is done",
    ]


def test_runs_within_a_run_are_told_apart() -> None:
    child = begun(CHILD, RUN, "Count one thing")
    grandchild = begun("g", CHILD, "Count half a thing")
    step = [started("1", run_id=CHILD), gave("1", run_id=CHILD), ended(CHILD)]
    assert told([*begun(), *child, *grandchild, *step, started("2")]) == [
        "LEARNER: a model can try",
        "  [1] Count one thing",
        "  [1] LEARNER: a model can try",
        "  [1.1] Count half a thing",
        "  [1.1] LEARNER: a model can try",
        "  [1]   step 1: Bash echo hello",
        "  [1] done: LEARNER, $0.0123 (list price), 1.50 s",
        "  step 1: Bash echo hello",
    ]


@pytest.mark.parametrize(
    ("cap", "text"),
    [(None, "$0.0123 (list price)"), (0.1, "$0.0123 of $0.10 (list price)"), (0.005, "$0.0123 of $0.005 (list price)")],
)
def test_spend_against_the_cap(cap: float | None, text: str) -> None:
    assert spent(0.0123, "rehearsal", cap) == text
    assert summary(outcome(), cap) == f"Done: LEARNER, {text}, 1.50 s, 1 step (run {RUN})"


def test_an_interrupted_run_is_no_failed_one() -> None:
    stopped = outcome(success=False, error=ErrorInfo(what="Stopped.", exit_code=130))
    assert summary(stopped).startswith("Interrupted: LEARNER")


def test_elapsed() -> None:
    assert [elapsed(seconds) for seconds in (0.9, 59.9, 65, 7207)] == ["0 s", "59 s", "1:05", "2:00:07"]


# The live view


TEXTS = (
    "漢字かな交じり文の長い行です" * 9,
    "word " * 60,
    "x" * 300,
    "\tindented\n\n  more",
    "[bold]no markup[/bold] :smile:",
)


@pytest.mark.parametrize(("width", "height"), list(itertools.product((8, 20, 40, 80), (1, 2, 3, 5, 10, 24, 60))))
def test_the_region_fits_every_window(width: int, height: int) -> None:
    doing = tuple(Block(((" ".join(f"step {text}".split()), "1:05"),), text, indent=2) for text in TEXTS)
    for blocks in ((), doing[:1], doing):
        rows = lay_out(Frame("goal " * 40, blocks, "LEARNER | $0 | 3 s | Ctrl-C stops"), width, height, "|")
        assert 1 <= len(rows) <= height
        assert max(cell_len(row.plain) for row in rows) <= width
        assert not any("\n" in row.plain or "\t" in row.plain for row in rows)


def test_a_window_shows_goal_steps_texts_and_status() -> None:
    blocks = (Block((("Bash sleep 3", "2 s"),)), Block((("scribe: Write a note", "4 s"),), "one\ntwo\nthree", indent=2))
    rows = lay_out(Frame("Count", blocks, "LEARNER | $0 | Ctrl-C stops"), 40, 20, "|")
    assert [row.plain for row in rows] == [
        "Count",
        "| Bash sleep 3  2 s",
        "  | scribe: Write a note  4 s",
        "    one",
        "    two",
        "    three",
        "LEARNER | $0 | Ctrl-C stops",
    ]


def test_what_does_not_fit_is_counted() -> None:
    blocks = tuple(Block(((f"step {number}", ""),)) for number in range(9))
    rows = [row.plain for row in lay_out(Frame("Count", blocks, "status"), 40, 5, "|")]
    assert rows == ["| step 0", "| step 1", "| step 2", "... and 6 more", "status"]


def drawn(events: Sequence[AnyEvent]) -> list[str]:
    """The region after these events, in a window of 60 by 20."""
    scene = Scene(Story(Level.NORMAL, transcripts=True))
    for event in events:
        scene.take(event)
    return [row.plain for row in lay_out(scene.frame(), 60, 20, "|")]


def test_the_scene_shows_what_is_going_on() -> None:
    now = [
        *begun(max_cost_usd=0.1),
        used(0.0123),
        LlmDelta(run_id=RUN, text="I co"),
        LlmDelta(run_id=RUN, text="unt\x1b[2J"),
    ]
    assert drawn(now) == [
        "Count things",
        "| writing",
        "  I count\\x1b[2J",
        "LEARNER | $0.0123 of $0.10 (list price) | 0 s | Ctrl-C stops",
    ]
    now += [said("I count."), started("1"), AgentStarted(run_id=RUN, agent_id="a1", name="scribe", task="Write")]
    now += [LlmDelta(run_id=RUN, text="Well", agent_id="a1")]
    assert drawn(now)[1:4] == ["| Bash echo hello  0 s", "  | scribe: Write  0 s", "    Well"]
    now += [
        said("Well", "a1"),
        used(0.01, agent="a1"),
        AgentFinished(run_id=RUN, agent_id="a1", name="scribe"),
        gave("1"),
    ]
    assert drawn(now)[1:3] == ["| at work", "LEARNER | $0.0223 of $0.10 (list price) | 0 s | Ctrl-C stops"]


def test_a_text_that_may_be_the_answer_stays_in_view_until_it_is_told() -> None:
    now = [*begun(), LlmDelta(run_id=RUN, text="I count."), said("I count."), used(0.01)]
    assert drawn(now)[1:3] == ["| at work", "  I count."]
    assert "  I count." not in drawn([*now, started("1"), gave("1")])


async def shown(
    monkeypatch: pytest.MonkeyPatch, events: Sequence[AnyEvent], size: tuple[int, int] = (60, 20)
) -> tuple[str, LiveProgress]:
    """What the live view writes to a terminal."""
    monkeypatch.setattr(live, "_PATIENCE_S", 0)
    file = io.StringIO()
    view = LiveProgress(screen=Screen(file, size))
    send, receive = anyio.create_memory_object_stream[Event](len(events))
    with send, receive:
        async with anyio.create_task_group() as group:
            group.start_soon(view.follow, receive)
            await anyio.sleep(0.05)  # drawn at least once
            for event in events:
                await send.send(event)
            send.close()
    return file.getvalue(), view


async def test_the_screen_is_left_with_the_lines_of_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [*begun(), said("[bold]I[/bold] :smile: count."), started("1"), gave("1", is_error=True), started("2")]
    written, view = await shown(monkeypatch, [*events, ended(output="x")])
    lines = [line for line in plain(written).replace("\r", "\n").split("\n") if line.strip()]
    assert lines[-6:] == [
        "LEARNER: a model can try",
        "  model: [bold]I[/bold] :smile: count.",
        "  step 1: Bash echo hello",
        "    failed: hello",
        "  step 2: Bash echo hello",
        "    cut off",
    ]
    assert plain(written).endswith("    cut off\n\r\r")  # the region is gone
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # and the cursor is there
    assert view.outcome is not None


async def test_the_cursor_is_never_hidden_while_the_view_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    written, _ = await shown(monkeypatch, begun())
    for hidden in re.finditer(r"\x1b\[\?25l", written):
        assert written[hidden.end() :].startswith("\x1b[?25h")


async def test_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    events = [*begun(), Notice(run_id=RUN, text="Mind."), started("1"), gave("1", is_error=True), ended()]
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert re.search(r"\x1b\[3[13]m", (await shown(monkeypatch, events))[0])
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*[34]\d", (await shown(monkeypatch, events))[0])


async def test_a_flood_is_drawn_seldom_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    flood: list[AnyEvent] = [LlmDelta(run_id=RUN, text=f"word {number} ") for number in range(20_000)]
    for number in range(2_000):
        flood += [started(str(number)), gave(str(number)), said(f"text {number}"), used(0.001)]
    assert live._TICK_S >= 0.1
    monkeypatch.setattr(live, "_TICK_S", 3600)
    written, view = await shown(monkeypatch, [*begun(), *flood])
    assert "LEARNER | " not in written  # drawn at the first tick and at the end, not with the events
    assert written.count("step 1999:") == 1
    [speaker] = view._scene._speakers.values()
    assert len(speaker.text) <= live._TAIL
    assert not speaker.running
    assert not view._pending
    assert view._story._runs[RUN].running == {}
    assert len(view._story._held) == 1


async def test_a_scene_holds_no_more_than_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(Level.NORMAL, transcripts=True)
    scene = Scene(story)
    for event in begun():
        scene.take(event)
    for number in range(500):
        scene.take(LlmDelta(run_id=RUN, text="x" * 1_000))
        scene.take(AgentStarted(run_id=RUN, agent_id=f"a{number}", name="scribe"))
        scene.take(LlmDelta(run_id=RUN, text="x" * 100_000, agent_id=f"a{number}"))
        scene.take(AgentFinished(run_id=RUN, agent_id=f"a{number}", name="scribe"))
        for event in (*begun(f"c{number}", RUN), ended(f"c{number}")):
            scene.take(event)
    [speaker] = scene._speakers.values()
    assert len(speaker.text) == live._TAIL
    assert len(story._runs) == 1
    assert len(story._runs[RUN].agents) <= 100


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


async def test_a_terminal_that_is_gone_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    left = []
    monkeypatch.setattr("llmos_core.cli.screen.leave", left.append)
    monkeypatch.setattr("llmos_core.cli.progress.say", lambda text: None)
    monkeypatch.setattr(live, "_PATIENCE_S", 0)
    view = LiveProgress(screen=Screen(Gone(), (60, 20)))
    send, receive = anyio.create_memory_object_stream[Event](10)
    with send, receive:
        async with anyio.create_task_group() as group:
            group.start_soon(view.follow, receive)
            await anyio.sleep(0.05)
            for event in (*begun(), ended()):
                await send.send(event)
    assert view.outcome is not None
    assert len(left) == 1


def test_a_narrower_window_takes_the_wrapped_rows_back() -> None:
    file = io.StringIO()
    screen = Screen(file, (80, 24))
    frame = Frame("g" * 70, (), "LEARNER | $0")
    screen.paint([], frame)
    screen.size = (30, 24)
    before = file.tell()
    screen.paint([], frame)
    # Three rows of 70, 9 and 12 cells take 3, 1 and 1 rows of 30: five in all, four above the last.
    assert file.getvalue()[before:].count("\x1b[1A") == 4
    screen.close()


async def test_a_plain_view_says_words_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    await Progress(Level.QUIET).note("Stopping.")
    assert capsys.readouterr().err == "Stopping.\n"
