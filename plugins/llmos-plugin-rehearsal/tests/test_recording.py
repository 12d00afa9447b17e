"""A run that is over becomes lessons that load, and that give its texts and calls again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import (
    AgentStarted,
    AnyEvent,
    LlmOutput,
    ModelUsed,
    Outcome,
    PastRun,
    ToolCall,
    ToolDenied,
    ToolOutput,
    ToolResult,
    ToolStarted,
    Usage,
    UsageError,
    Verdict,
)
from llmos_plugin_rehearsal.lesson import Lesson, load_lesson, read_lesson
from llmos_plugin_rehearsal.placeholders import fill, fill_text
from llmos_plugin_rehearsal.recording import record
from llmos_plugin_rehearsal.templates import Template
from llmos_plugin_rehearsal.writing import lesson_file, write_lessons

WORKSPACE = Path("/home/ada/work")
WORKDIR = WORKSPACE / "projects/default/output"
OTHER = {"workdir": "/other/out", "workspace": "/other"}


@dataclass
class Past:
    """A run written by hand."""

    answer: str = "Done it."
    goal: str = "Do it"
    success: bool = True
    directory: str | None = str(WORKDIR)
    id: str = "2030-01-01-000000-abcdef"
    told: list[AnyEvent] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1000)))

    @property
    def outcome(self) -> Outcome:
        return Outcome(
            run_id=self.id,
            goal=self.goal,
            mode="LEARNER",
            success=self.success,
            output=self.answer,
            cost_usd=0,
            billing="free",
            saved_usd=0,
            duration_s=1,
            steps=1,
            trace_id=None,
            trace_version=None,
            project="default",
            directory=self.directory,
            error=None,
        )

    def events(self) -> Iterator[AnyEvent]:
        return iter(self.told)

    def asked(self, agent: str | None = None) -> None:
        used = ModelUsed(
            request_id="r",
            provider="p",
            model="m",
            status=200,
            usage=Usage(),
            cost_usd=0,
            billing="free",
            complete=True,
            agent_id=agent,
        )
        self.told.append(used)

    def said(self, text: str, agent: str | None = None) -> None:
        self.asked(agent)
        self.told.append(LlmOutput(text=text, agent_id=agent))

    def began(self, tool: str, agent: str | None = None, native: bool = False, **input: Any) -> ToolCall:
        call = ToolCall(id=f"call-{next(self.numbers)}", tool=tool, input=input, agent_id=agent)
        self.told.append(ToolStarted(call=call, effect="external", native=native))
        return call

    def ended(self, call: ToolCall, output: str = "ok", failed: bool = False) -> None:
        result = ToolResult(output=output, is_error=failed)
        self.told.append(ToolOutput(call_id=call.id, tool=call.tool, result=result, duration_s=0))

    def called(
        self, tool: str, output: str = "ok", agent: str | None = None, failed: bool = False, **input: Any
    ) -> None:
        self.ended(self.began(tool, agent, **input), output, failed)

    def lessons(self, name: str = "it", pattern: str | None = None) -> tuple[Lesson, ...]:
        return record(cast("PastRun", self), WORKSPACE, name, pattern).lessons


def turns(lesson: Lesson) -> list[tuple[str, list[Any], bool]]:
    return [(turn.text, list(turn.calls), turn.may_fail) for turn in lesson.turns]


def test_texts_and_calls_become_turns() -> None:
    past = Past()
    past.said("First.")
    past.called("Write", file_path=f"{WORKDIR}/a.txt", content="{{x}} {{{")
    past.asked()
    past.said("Then")
    past.said("again.")
    past.called("Bash", command=f"cat '{WORKSPACE}/data/x' a.txt", timeout=5)
    past.said("Done it.")
    [lesson] = past.lessons()
    assert (lesson.goal, lesson.example, lesson.hidden) == ("Do it", "Do it", False)
    assert lesson.about == "Recorded from run 2030-01-01-000000-abcdef."
    assert turns(lesson) == [
        ("First.", [("Write", {"file_path": "{{workdir}}/a.txt", "content": "{{{{x}} {{{{{"})], False),
        ("Then\n\nagain.", [("Bash", {"command": "cat '{{workspace}}/data/x' a.txt", "timeout": 5})], False),
        ("Done it.", [], False),
    ]


def test_calls_under_way_together_share_a_turn_and_others_do_not() -> None:
    past = Past()
    past.asked()
    one, two = past.began("Read", file_path="1"), past.began("Read", file_path="2")
    past.ended(one)
    past.ended(two)
    past.called("Write", file_path="3")
    past.called("Bash", command="4")
    [lesson] = past.lessons()
    assert [[name for name, _ in calls] for _, calls, _ in turns(lesson)] == [["Read", "Read"], ["Write"], ["Bash"], []]


def test_a_failed_call_may_fail_alone_and_a_refused_one_is_left_out() -> None:
    past = Past()
    past.said("Look.")
    one, two = past.began("Bash", command="false"), past.began("Bash", command="true")
    past.ended(one, "Exit code 1", failed=True)
    past.ended(two)
    refused = ToolCall(id="call-x", tool="Bash", input={"command": "rm"})
    past.told.append(ToolDenied(call=refused, verdict=Verdict.deny("no")))
    [lesson] = past.lessons()
    assert turns(lesson) == [
        ("Look.", [("Bash", {"command": "false"})], True),
        ("", [("Bash", {"command": "true"})], False),
        ("Done it.", [], False),
    ]


@pytest.mark.parametrize(
    ("outputs", "answer", "said"),
    [
        (["2 3 5"], "2 3 5", "{{results.1}}"),
        (["one\ntwo", "two"], "It prints:\n\none\ntwo\n\nThat is all in /home/ada/work.", None),
        (["5"], "There are 5 lines.", "There are 5 lines."),
        (["5"], "It is\n5", "It is\n{{results.1}}"),
        (["x", "x"], "x", "{{results.2}}"),
        (["", "y"], "a\n\nb", "a\n\nb"),
    ],
)
def test_an_answer_that_repeats_a_whole_output_says_the_result(
    outputs: list[str], answer: str, said: str | None
) -> None:
    past = Past(answer=answer)
    for output in outputs:
        past.called("Bash", output, command="x")
    [lesson] = past.lessons()
    wanted = said or "It prints:\n\n{{results.1}}\n\nThat is all in {{workspace}}."
    assert lesson.turns[-1].text == wanted


def test_the_output_of_a_failed_call_is_not_said_again() -> None:
    past = Past(answer="no")
    past.called("Bash", "no", failed=True, command="x")
    assert past.lessons()[0].turns[-1].text == "no"


def test_the_values_of_a_pattern_become_placeholders() -> None:
    past = Past(goal="Count 7 lines of data/a.csv", answer="data/a.csv: 7 of 17, 7.5, x7; data/a.csvx")
    past.called("Bash", command=f"head -n 7 '{WORKSPACE}/data/a.csv' > data/a.csv.")
    [lesson] = past.lessons(pattern="Count {{n:int}} lines of {{file:path}}")
    assert lesson.turns[0].tools == ({"Bash": {"command": "head -n {{n}} '{{workspace}}/{{file}}' > {{file}}."}},)
    assert lesson.turns[-1].text == "{{file}}: {{n}} of 17, 7.5, x7; data/a.csvx"
    assert lesson.match("count 9 lines of b") == {"n": "9", "file": "b"}


def test_a_goal_with_braces_fits_itself_alone() -> None:
    past = Past(goal="Fill {{name}} in")
    past.called("Bash", command="x")
    [lesson] = past.lessons()
    assert lesson.match("Fill {{name}} in") == {}
    assert lesson.match("Fill it in") is None


def test_sub_agents_become_hidden_lessons() -> None:
    past = Past(goal="Write notes")
    past.said("I delegate.")
    for number, agent in enumerate("ab", 1):
        past.asked(agent)
        past.told.append(AgentStarted(agent_id=agent, name="scribe", task=f"Write a note in {WORKDIR}/n"))
        past.said(f"I write {number}.", agent)
        past.called("Write", agent=agent, file_path=f"{WORKDIR}/n/{number}", content=str(number))
        past.said(f"Note {number} is there.", agent)
    past.said("Now I look.")
    past.called("Bash", "1 2", command="ls n")
    past.answer = "1 2"
    main, first, second = past.lessons("notes")
    prompt = "Write a note in {{workdir}}/n"
    assert turns(main) == [
        (
            "I delegate.",
            [
                ("Agent", {"description": "Ask scribe", "prompt": prompt, "subagent_type": "scribe"}),
                ("Agent", {"description": "Ask scribe", "prompt": f"{prompt} (Part 2.)", "subagent_type": "scribe"}),
            ],
            False,
        ),
        ("Now I look.", [("Bash", {"command": "ls n"})], False),
        ("{{results.3}}", [], False),
    ]
    assert [(lesson.name, lesson.hidden) for lesson in (first, second)] == [
        ("notes-agent-1", True),
        ("notes-agent-2", True),
    ]
    assert turns(second) == [
        ("I write 2.", [("Write", {"file_path": "{{workdir}}/n/2", "content": "2"})], False),
        ("Note 2 is there.", [], False),
    ]
    # The prompt names another directory where the lesson is played, and each is answered by its own lesson only.
    prompts = [fill_text(call["prompt"], OTHER) for _, call in list(main.turns[0].calls)]
    assert [[bool(lesson.match(text)) for lesson in (first, second)] for text in prompts] == [
        [True, False],
        [False, True],
    ]


def refused(past: Past, pattern: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        past.lessons(pattern=pattern)
    assert caught.value.fix
    return str(caught.value)


def test_what_cannot_become_a_lesson_is_refused() -> None:
    assert "It did not succeed." in refused(Past(success=False))
    assert "It called no tools" in refused(Past(told=[LlmOutput(text="Hello")]))
    native = Past()
    native.began("WebSearch", native=True, query="x")
    assert "It used WebSearch, which the Claude Code CLI executes itself." in refused(native)
    nameless = Past()
    nameless.called("Write", agent="a", file_path="x")
    assert "It had sub-agents, and does not tell what they were asked." in refused(nameless)
    plain = Past()
    plain.called("Bash", command="x")
    assert "The goal is: Do it" in refused(plain, "Do {{what:int}}")
    with pytest.raises(UsageError, match="the type this of what is unknown"):
        plain.lessons(pattern="Do {{what:this}}")
    plain.told.append(AgentStarted(agent_id="a", name="scribe", task="x"))
    assert "Leave out --goal." in refused(plain, "Do {{what:word}}")


PIECES = [
    "{",
    "{{",
    "}}",
    "/home/ada/work",
    str(WORKDIR),
    "/",
    " ",
    "a",
    "7",
    "7.5",
    "workdir",
    "{{results.1}}",
    "\n",
    "'",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join))
def test_a_template_gives_its_text_again(text: str) -> None:
    values = {"n": "7", "letter": "a", "place": "workdir"}
    template = Template(WORKDIR, WORKSPACE, values, [text])
    places = {"workdir": str(WORKDIR), "workspace": str(WORKSPACE)}
    assert fill_text(template.of(text), {**places, **values, "results.1": "x"}) == text
    nested = template.of_value({"{{key}}": [text, 1, None, {"b": text}]})
    assert fill(nested, {**places, **values}) == {"{{key}}": [text, 1, None, {"b": text}]}


TEXT = st.text(max_size=30) | st.lists(
    st.sampled_from([*"\n\r\t #:-|>\"'&*!%@`{}[],?a", "\x85", "\u2028", "---", "no", "\x00"])
).map("".join)


@given(TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=2))
def test_a_text_is_data_in_the_file(text: str, answer: str, extra: dict[str, str]) -> None:
    past = Past(answer=answer if answer.strip() else "x", goal="Do it")
    past.said(text)
    past.called("Bash", command=text, **{f"k{key}": value for key, value in extra.items()})
    [lesson] = past.lessons()
    path = Path("it.yaml")
    content = lesson_file(path, lesson)
    read = read_lesson(path, content)
    assert read == lesson
    [(_, input)] = read.turns[0].calls
    assert fill_text(str(input["command"]), {}) == text


def test_a_text_that_looks_like_a_lesson_adds_no_key(tmp_path: Path) -> None:
    evil = "x\nhidden: true\nturns:\n  - text: owned\n"
    past = Past(answer=evil)
    past.said(evil)
    past.called("Bash", evil + "more", command=f"echo '{evil}'")
    paths = write_lessons(tmp_path / "lessons", past.lessons())
    lesson = load_lesson(paths[0])
    assert not lesson.hidden
    assert [turn.text for turn in lesson.turns] == [evil, evil]
    assert "command: |" in paths[0].read_text("utf-8")


def test_a_lesson_that_no_file_can_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    past = Past()
    past.called("Write", file_path="x", content="y" * 1_000_001)
    with pytest.raises(UsageError) as caught:
        write_lessons(tmp_path / "lessons", past.lessons())
    assert caught.value.what == "The lesson it cannot be written."
    assert "at most 1,000,000 are accepted." in caught.value.why
    assert not (tmp_path / "lessons").exists()
