"""Ask: who is asked, in which order, what an answer is good for, and how a run ends that gets none."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import LLMOS, ApprovalError, Outcome, Result, Run, Task, ToolCall, Verdict, hookimpl
from llmos_core.host.settings import SettingsFile
from tests.kernel.test_tool_door import IMPATIENT, kinds
from tests.parts import Echo, Model, Parts, Script, ask, call

RULE = "test.ask"


async def asking(call: ToolCall) -> Verdict | None:
    """A guard that wants a yes for every text but ``free``."""
    return None if call.input.get("text") == "free" else Verdict.ask("is that wise?", RULE)


class Approver:
    """An approver that gives the given answers, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[ToolCall, Verdict, str]] = []

    @hookimpl
    async def llmos_approve(self, call: ToolCall, verdict: Verdict, run: Run) -> Any:
        self.asked.append((call, verdict, run.id))
        await anyio.lowlevel.checkpoint()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def on_ask(self, call: ToolCall, verdict: Verdict, run: Run) -> Any:
        return await self.llmos_approve(call, verdict, run)

    @property
    def texts(self) -> list[Any]:
        return [call.input.get("text") for call, _, _ in self.asked]


class Asked:
    """How a scripted strategy fared where every call needs approval."""

    def __init__(self, outcome: Outcome, events: list[Any], echo: Echo, model: Model) -> None:
        self.outcome = outcome
        self.events = events
        self.ran = echo.ran
        self.requests = len(model.asked)

    @property
    def kinds(self) -> list[str]:
        return kinds(self.events)

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if event.type == "notice"]


async def perform(act: Any, *approvers: Any, guard: Any = asking, tool: Any = None, **execute: Any) -> Asked:
    """Run a scripted strategy under a guard that asks; approvers are asked in this order."""
    echo, model = tool or Echo(), Model()
    plugins: dict[str, object] = {"guard": Parts(llmos_pre_tool_use=guard)}
    # The hooks of the plugin registered last are called first.
    for number, approver in reversed(list(enumerate(approvers))):
        plugins[f"approver{number}"] = approver
    plugins["parts"] = Parts(tools=[echo], strategies=[Script(act)], models=[model])
    events: list[Any] = []
    async with LLMOS.in_memory(plugins, IMPATIENT) as system:
        outcome = await system.execute("do it", on_event=events.append, **execute)
    return Asked(outcome, events, echo, model)


async def once(run: Run) -> str:
    return (await run.call(call("hello"))).output


async def test_an_approved_call_runs_and_it_is_told_by_whom() -> None:
    done = await perform(once, Approver(True))
    assert done.outcome.output == "hello"
    assert done.kinds == ["tool_approved", "tool_started", "tool_output"]
    approved, started, _ = [event for event in done.events if event.type.startswith("tool")]
    assert (approved.call.input, approved.verdict.decision, approved.by) == ({"text": "hello"}, "ask", "approver0")
    assert (started.verdict.decision, started.verdict.rule) == ("allow", RULE)


async def test_a_no_denies_by_the_same_rule_and_the_run_goes_on() -> None:
    async def act(run: Run) -> str:
        result = await run.call(call("hello"))
        assert (result.is_error, result.data["denied"], result.data["rule"]) == (True, "deny", RULE)
        return f"{result.output}; {(await run.call(call('free'))).output}"

    done = await perform(act, Approver(False))
    assert done.outcome.output == "Echo was refused: not approved: is that wise?; free"
    assert done.ran == ["free"]
    assert done.kinds == ["tool_denied", "tool_started", "tool_output"]


async def test_the_first_yes_or_no_counts() -> None:
    first, second, third = Approver(None), Approver(False), Approver(True)
    done = await perform(once, first, second, third)
    assert done.ran == []
    assert [len(approver.asked) for approver in (first, second, third)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (RuntimeError("no line"), "An approver of approver0 failed (RuntimeError: no line)."),
        (SystemExit(0), "An approver of approver0 failed (SystemExit: 0)."),
        ("yes", "An approver of approver0 answered str, not True, False or None."),
        (1, "An approver of approver0 answered int, not True, False or None."),
        (Verdict.allow(), "An approver of approver0 answered Verdict, not True, False or None."),
    ],
)
async def test_one_that_fails_has_not_answered(answer: Any, told: str) -> None:
    done = await perform(once, Approver(answer), Approver(True))
    assert done.outcome.output == "hello"
    assert done.notices == [told]
    refused = await perform(once, Approver(answer))
    assert refused.outcome.exit_code == 6
    assert refused.ran == []


@pytest.mark.parametrize("decision", ["allow", "deny"])
async def test_nobody_is_asked_where_the_guards_are_sure(decision: str) -> None:
    async def sure(call: ToolCall) -> Verdict:
        return Verdict(decision=decision, reason="surely", rule="test.sure")  # type: ignore[arg-type]

    approver = Approver(True)
    done = await perform(once, approver, Parts(llmos_pre_tool_use=asking), guard=sure)
    assert len(approver.asked) == (decision == "allow")
    assert bool(done.ran) == (decision == "allow")


async def test_without_an_answer_the_run_ends() -> None:
    """Whatever the strategy makes of it: the call did not run, and nothing more is done or asked."""
    went_on: list[Any] = []

    async def stubborn(run: Run) -> Result:
        try:
            went_on.append(await run.call(call("hello")))
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                went_on.append(await run.call(call("free")))
                with pytest.raises(ApprovalError):
                    await ask(run)
        return Result(success=True, output="all is well")

    done = await perform(stubborn, Approver(None))
    assert [result.data["denied"] for result in went_on] == ["ask", "deny"]
    assert done.ran == []
    assert done.requests == 0
    assert (done.outcome.success, done.outcome.output, done.outcome.exit_code) == (False, "", 6)
    assert done.outcome.error
    assert done.outcome.error.what == "Echo needs approval, and nobody answered."
    assert done.outcome.error.why == f"is that wise? (rule {RULE})"
    assert done.outcome.error.fix == f"See the call and approve it: llmos approve {done.outcome.run_id}"
    [denied, ending] = [event for event in done.events if event.type == "tool_denied"]
    assert (denied.verdict.decision, ending.verdict.rule) == ("ask", "halted")


@pytest.mark.parametrize("door", ["call", "judge", "begin"])
async def test_every_door_asks_and_ends_the_run(door: str) -> None:
    async def act(run: Run) -> str:
        answer = await getattr(run, door)(call("hello"))
        await anyio.lowlevel.checkpoint()
        return str(answer.output if door == "call" else answer.decision)

    refused = await perform(act, Approver(None))
    assert refused.outcome.exit_code == 6
    approved = await perform(act, Approver(True))
    assert approved.outcome.output in ("allow", "hello")
    assert approved.kinds[0] == "tool_approved"


async def test_a_person_may_take_longer_than_a_guard_but_not_longer_than_the_run() -> None:
    class Slow(Approver):
        @hookimpl
        async def llmos_approve(self, call: ToolCall, verdict: Verdict, run: Run) -> Any:
            await anyio.sleep(IMPATIENT.settings.limits.guard_timeout_s * 4)
            return True

    assert (await perform(once, Slow())).outcome.output == "hello"
    late = await perform(once, Slow(), timeout_s=IMPATIENT.settings.limits.guard_timeout_s)
    assert late.outcome.exit_code == 124
    assert late.ran == []


async def test_on_ask_answers_after_the_plugins() -> None:
    plugin, caller = Approver(None), Approver(True)
    done = await perform(once, plugin, on_ask=caller.on_ask)
    assert done.outcome.output == "hello"
    assert next(event.by for event in done.events if event.type == "tool_approved") == "caller"
    unasked = Approver(True)
    assert (await perform(once, Approver(False), on_ask=unasked.on_ask)).ran == []
    assert unasked.asked == []


async def test_on_ask_may_block() -> None:
    threads: list[str] = []

    def on_ask(call: ToolCall, verdict: Verdict, run: Run) -> bool:
        threads.append(threading.current_thread().name)
        return True

    assert (await perform(once, on_ask=on_ask)).ran == ["hello"]
    assert threads != [threading.main_thread().name]


async def test_an_approver_can_change_nothing() -> None:
    class Meddling(Approver):
        @hookimpl
        async def llmos_approve(self, call: ToolCall, verdict: Verdict, run: Run) -> Any:
            call.input["text"] = "harmless"
            return self._answers[0]

    honest = Approver(True)
    done = await perform(once, Meddling(None), honest)
    assert done.ran == ["hello"]
    assert honest.texts == ["hello"]


async def test_each_call_is_asked_about() -> None:
    async def act(run: Run) -> str:
        await run.call(call("one"))
        await run.call(call("one", id="c2"))
        return (await run.call(ToolCall(id="c3", tool="Echo", input={"text": "one"}, agent_id="agent"))).output

    approver = Approver(True, True, None)
    done = await perform(act, approver)
    assert approver.texts == ["one", "one", "one"]
    assert done.outcome.exit_code == 6
    assert done.ran == ["one", "one"]


async def test_a_task_of_another_run_fails_with_the_code_and_its_parent_goes_on() -> None:
    async def act(run: Run) -> str:
        if run.task.goal == "part":
            return await once(run)
        part = await run.execute(Task(goal="part", mode="SCRIPT"))
        return f"{part.exit_code} {part.error.fix if part.error else ''} {(await run.call(call('free'))).output}"

    done = await perform(act, Approver(None))
    [part] = [event.run_id for event in done.events if event.type == "user_input" and event.parent]
    assert done.outcome.success
    assert done.outcome.output == f"6 See the call and approve it: llmos approve {part} free"

    caller = Approver(True)
    await perform(act, on_ask=caller.on_ask)
    assert caller.texts == ["hello"]


async def test_calls_to_come_are_refused_before_anybody_is_asked() -> None:
    async def guard(call: ToolCall) -> Verdict:
        text = call.input["text"]
        return Verdict.deny("never", "test.never") if text == "bad" else Verdict.ask("sure?", RULE)

    async def act(run: Run) -> str:
        verdicts = await run.foresee([call("one", id="s1"), call("bad", id="s2")])
        return " ".join(verdict.decision for verdict in verdicts)

    approver = Approver(True)
    done = await perform(act, approver, guard=guard)
    assert done.outcome.output == "ask deny"
    assert approver.asked == []
    assert [(event.type, event.call.id) for event in done.events if event.type.startswith("tool")] == [
        ("tool_denied", "s2")
    ]


async def test_what_the_door_itself_would_refuse_is_foreseen_too() -> None:
    """A tool that is gone, an input that no longer fits: known before the first call runs, and no guard is asked."""

    async def act(run: Run) -> str:
        odd = [
            call("free"),
            ToolCall(id="s2", tool="Echo", input={"text": 5}),
            ToolCall(id="s3", tool="Gone", input={}),
        ]
        return " ".join(verdict.rule or verdict.decision for verdict in await run.foresee(odd))

    done = await perform(act, Approver())
    assert done.outcome.output == "allow invalid-input unknown-tool"
    assert done.ran == []


async def test_what_was_approved_ahead_is_not_asked_again_and_good_for_one_call() -> None:
    async def act(run: Run) -> str:
        ahead = [call("one", id="s1"), call("one", id="s2"), call("free", id="s3")]
        assert [verdict.decision for verdict in await run.foresee(ahead)] == ["allow"] * 3
        for foreseen in ahead:
            await run.call(foreseen)
        await run.call(call("two"))
        return (await run.call(call("one", id="s4"))).output

    approver = Approver(True, True, True, None)
    done = await perform(act, approver)
    assert approver.texts == ["one", "one", "two", "one"]
    assert done.ran == ["one", "one", "free", "two"]
    assert done.outcome.exit_code == 6


async def test_all_calls_to_come_are_asked_about_before_the_run_ends() -> None:
    async def act(run: Run) -> str:
        await run.foresee([call(text, id=text) for text in ("one", "two", "three")])
        await anyio.lowlevel.checkpoint()
        return "went on"

    approver = Approver(None, True, None)
    done = await perform(act, approver)
    assert approver.texts == ["one", "two", "three"]
    assert done.outcome.exit_code == 6
    told = [(event.type, event.call.id) for event in done.events if event.type.startswith("tool")]
    assert told == [("tool_approved", "two"), ("tool_denied", "one"), ("tool_denied", "three")]


async def test_after_a_no_nobody_is_asked_about_what_comes_later() -> None:
    async def act(run: Run) -> str:
        verdicts = await run.foresee([call(text, id=text) for text in ("one", "two", "three")])
        return " ".join(verdict.decision for verdict in verdicts)

    approver = Approver(True, False, True)
    done = await perform(act, approver)
    assert done.outcome.output == "allow deny ask"
    assert approver.texts == ["one", "two"]


class Writer(Echo):
    """Says where it works."""

    async def run(self, input: Any, run: Run) -> Any:
        result = await super().run(input, run)
        return result.model_copy(update={"output": input.text.replace(str(run.workdir), "here")})


async def test_a_copy_of_a_run_makes_the_approved_calls_and_no_other(tmp_path: Path) -> None:
    tool, approver, results = Writer("workspace"), Approver(True, True, None), []

    async def act(run: Run) -> str:
        for text in ("plain", f"cat {run.workdir}/a.txt"):
            await run.call(call(text))
        async with run.scratch() as copy:
            for text in ("plain", f"cat {copy.workdir}/a.txt", "plain", f"cat {run.workdir}/a.txt"):
                results.append(await copy.call(call(text)))
        return "still here"

    parts = Parts(tools=[tool], strategies=[Script(act)], llmos_pre_tool_use=asking)
    plugins = {"approver": approver, "parts": parts}
    async with LLMOS(tmp_path / "space", settings=SettingsFile(), discover=False, plugins=plugins) as system:
        outcome = await system.execute("do it")
    assert [result.output for result in results[:3]] == ["plain", "cat here/a.txt", "plain"]
    assert results[3].data["denied"] == "ask"
    assert len(approver.asked) == 3
    assert outcome.output == "still here", "a copy that is refused does not end its run"


async def test_another_run_is_asked_anew() -> None:
    approver = Approver(True)
    plugins = {
        "approver": approver,
        "parts": Parts(tools=[Echo()], strategies=[Script(once)], llmos_pre_tool_use=asking),
    }
    async with LLMOS.in_memory(plugins) as system:
        await system.execute("do it")
        await system.execute("do it")
    assert len(approver.asked) == 2


async def test_what_guards_say_by_a_rule_is_told() -> None:
    async def lenient(call: ToolCall) -> Verdict:
        return Verdict.allow("only an echo", "test.echo")

    async def nameless(call: ToolCall) -> Verdict:
        return Verdict.allow()

    said = await perform(once, Parts(llmos_pre_tool_use=nameless), guard=lenient)
    started = next(event for event in said.events if event.type == "tool_started")
    assert started.verdict == Verdict.allow("only an echo", "test.echo")
    unsaid = await perform(once, guard=nameless)
    assert next(event for event in unsaid.events if event.type == "tool_started").verdict is None
