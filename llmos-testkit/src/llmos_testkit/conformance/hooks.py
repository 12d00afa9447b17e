"""What run-time hooks keep: guards, approvers, observers and transforms."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import pytest

from llmos_core import (
    ErrorInfo,
    ModelRequest,
    ModelUsed,
    Notice,
    Outcome,
    Record,
    Run,
    RunFinished,
    ToolCall,
    ToolResult,
    ToolStarted,
    Usage,
    Verdict,
)
from llmos_testkit.conformance.base import Conformance, swallows_cancellation
from llmos_testkit.conformance.stage import GOAL, stage

GUARDS = {"llmos_pre_tool_use": ("call", "run"), "llmos_pre_model_request": ("request", "run")}
APPROVERS = {"llmos_approve": ("call", "verdict", "run")}
OBSERVERS = {
    "llmos_post_tool_use": ("call", "result", "run"),
    "llmos_post_model_response": ("response", "run"),
    "llmos_event": ("event",),
}
TRANSFORMS = {"llmos_user_prompt_submit": ("prompt", "run"), "llmos_stop": ("outcome", "run")}
RUN_TIME = {**GUARDS, **APPROVERS, **OBSERVERS, **TRANSFORMS}
"""The hooks that the kernel calls during a run, and their arguments."""


_ODD: list[dict[str, Any]] = [
    {},
    {"text": "hello"},
    {"command": "rm -rf / # \0 \U0001f600", "file_path": "../../etc/passwd"},
    {"command": None, "file_path": [], "content": {"deep": [[{}]]}},
    {"command": 7, "file_path": {"a": 1}, "url": -1.5, "text": True},
    {"": "", "x" * 1_000: "y" * 100_000},
]


class HooksConformance(Conformance):
    """Checks of the run-time hooks of a plugin. Give the plugin, a module or an object, as the fixture ``plugin``.

    ``answer_s`` is the time in seconds that a hook may take: by default what the kernel waits, unless told otherwise.
    """

    answer_s: ClassVar[float] = 5.0

    @pytest.fixture
    def plugin(self) -> object:
        """The plugin whose hooks are under test."""
        raise NotImplementedError("give the plugin: override the fixture `plugin`")

    def test_hooks_take_known_arguments(self, plugin: object) -> None:
        for name, function in _hooks(plugin, RUN_TIME):
            odd = sorted(set(inspect.signature(function).parameters) - set(RUN_TIME[name]))
            assert not odd, f"{name} takes {', '.join(odd)}; there are: {', '.join(RUN_TIME[name])}"

    def test_hooks_are_plain_or_async_functions(self, plugin: object) -> None:
        for name, function in _hooks(plugin, RUN_TIME):
            odd = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
            assert not odd, f"{name} is a generator: it would never be run"

    async def test_guards_give_a_verdict(self, plugin: object, place: Path) -> None:
        async for name, _, answer in self._answers(plugin, GUARDS, place):
            fine = answer is None or isinstance(answer, Verdict | Exception)
            assert fine, f"{name} answered {type(answer).__name__}, no Verdict: the kernel would deny every call"

    async def test_guards_bear_any_input(self, plugin: object, place: Path) -> None:
        async for name, given, answer in self._answers(plugin, GUARDS, place):
            fine = not isinstance(answer, Exception)
            assert fine, f"{name} raised {answer!r} for {_short(given)}: what it cannot judge it denies with a reason"

    async def test_guards_say_why(self, plugin: object, place: Path) -> None:
        async for name, given, answer in self._answers(plugin, GUARDS, place):
            if isinstance(answer, Verdict) and answer.decision != "allow":
                assert answer.reason.strip(), f"{name} said {answer.decision} to {_short(given)}, and not why"

    async def test_guards_say_the_same_again(self, plugin: object, place: Path) -> None:
        first = [_decision(answer) async for _, _, answer in self._answers(plugin, GUARDS, place)]
        again = [_decision(answer) async for _, _, answer in self._answers(plugin, GUARDS, place)]
        assert first == again, f"first the guards said {first}, then {again}"

    async def test_hooks_change_nothing_they_are_given(self, plugin: object, place: Path) -> None:
        async with stage(place) as run:
            for name, function in _hooks(plugin, RUN_TIME):
                for given in _samples(name, run):
                    before = _text(given)
                    with anyio.move_on_after(self.answer_s) as limit:
                        await _called(function, given)
                    assert _text(given) == before, f"{name} changed what it was given"
                    if limit.cancel_called:
                        break

    async def test_approvers_answer_yes_no_or_nothing(self, plugin: object, place: Path) -> None:
        async for name, given, answer in self._answers(plugin, APPROVERS, place):
            fine = answer is None or isinstance(answer, bool)
            assert fine, f"{name} answered {answer!r} to {_short(given)}: that counts as no answer, and is reported"

    async def test_observers_bear_any_input(self, plugin: object, place: Path) -> None:
        async for name, given, answer in self._answers(plugin, OBSERVERS, place):
            assert not isinstance(answer, Exception), f"{name} raised {answer!r} for {_short(given)}"

    async def test_observers_answer_nothing(self, plugin: object, place: Path) -> None:
        async for name, _, answer in self._answers(plugin, OBSERVERS, place):
            assert answer is None or isinstance(answer, Exception), f"{name} answered {answer!r}: nobody reads that"

    async def test_transforms_bear_any_input(self, plugin: object, place: Path) -> None:
        async for name, given, answer in self._answers(plugin, TRANSFORMS, place):
            assert not isinstance(answer, Exception), f"{name} raised {answer!r} for {_short(given)}"

    async def test_transforms_keep_the_kind(self, plugin: object, place: Path) -> None:
        async for name, _, answer in self._answers(plugin, TRANSFORMS, place):
            kind = str if name == "llmos_user_prompt_submit" else Outcome
            fine = answer is None or isinstance(answer, kind | Exception)
            assert fine, f"{name} answered {type(answer).__name__}, not {kind.__name__}"

    async def test_prompts_keep_the_words_of_the_user(self, plugin: object, place: Path) -> None:
        async for _, given, answer in self._answers(plugin, {"llmos_user_prompt_submit": ()}, place):
            assert not isinstance(answer, str) or given["prompt"] in answer, "the user's own words are gone"

    async def test_outcomes_stay_honest(self, plugin: object, place: Path) -> None:
        async for _, given, answer in self._answers(plugin, {"llmos_stop": ()}, place):
            if isinstance(answer, Outcome):
                before = given["outcome"]
                assert (answer.run_id, answer.goal) == (before.run_id, before.goal), "it is the outcome of another run"
                assert before.success or not answer.success, "it calls a failed run a success"
                assert answer.cost_usd >= before.cost_usd, "it makes the run cheaper than it was"

    async def test_hooks_answer_in_time(self, plugin: object, place: Path) -> None:
        async with stage(place) as run:
            for name, function in _hooks(plugin, {**GUARDS, **OBSERVERS, **TRANSFORMS}):  # people take their time
                for given in _samples(name, run):
                    with anyio.move_on_after(self.answer_s) as limit:
                        await _called(function, given)
                    assert not limit.cancel_called, f"{name} gave no answer within {self.answer_s:g} s"

    async def test_cancellation_passes(self, plugin: object, place: Path) -> None:
        async with stage(place) as run:
            for name, function in _hooks(plugin, RUN_TIME):
                if inspect.iscoroutinefunction(function):
                    given = _samples(name, run)[0]
                    swallowed = await swallows_cancellation(partial(function, **_taken(function, given)))
                    assert not swallowed, f"{name} swallowed its cancellation"

    async def _answers(
        self, plugin: object, names: Mapping[str, Any], place: Path
    ) -> AsyncIterator[tuple[str, dict[str, Any], Any]]:
        """What each of these hooks answers to each sample; what it raises stands for its answer."""
        answers = []
        async with stage(place) as run:
            for name, function in _hooks(plugin, names):
                for given in _samples(name, run):
                    with anyio.move_on_after(self.answer_s) as limit:
                        answers.append((name, given, await _called(function, given)))
                    if limit.cancel_called:
                        break  # a check of its own is for that
        for answer in answers:
            yield answer


def run_time_hooks(plugin: object) -> list[str]:
    """The names of the run-time hooks that a plugin has."""
    return [name for name, _ in _hooks(plugin, RUN_TIME)]


def _hooks(plugin: object, names: Mapping[str, Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in names:
        function = getattr(plugin, name, None)
        if callable(function):
            yield name, function


def _taken(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in inspect.signature(function).parameters if name in given}


async def _called(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """The answer of a hook, called as the kernel does: a blocking one in a thread."""
    call = partial(function, **_taken(function, given))
    try:
        if inspect.iscoroutinefunction(function):
            return await call()
        answer = await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
        return await answer if inspect.isawaitable(answer) else answer
    except Exception as error:  # noqa: BLE001 - judged by the checks
        return error
    except SystemExit as error:
        return RuntimeError(f"SystemExit: {error}")


def _samples(name: str, run: Run) -> list[dict[str, Any]]:
    return [{**given, "run": run} for given in _SAMPLES[name]()]


def _calls() -> list[ToolCall]:
    tools = ("Bash", "Write", "no_such_tool")
    return [ToolCall(id=f"c{n}", tool=tool, input=given) for n, given in enumerate(_ODD) for tool in tools]


def _results() -> list[dict[str, Any]]:
    results = [ToolResult(output="done"), ToolResult(output="", is_error=True, exit_code=1, data={"denied": "deny"})]
    return [{"call": call, "result": result} for call in _calls()[:6] for result in results]


def _requests() -> list[dict[str, Any]]:
    messages: list[Any] = [
        [{"role": "user", "content": GOAL}],
        [],
        [
            {
                "role": "user",
                "content": [{"type": "text", "text": "\U0001f600" * 1_000}, {"type": "image", "source": {}}],
            }
        ],
    ]
    bodies = [json.dumps({"model": "m", "max_tokens": 9, "messages": m, "tools": []}).encode() for m in messages]
    return [{"request": ModelRequest.parse(f"r{n}", body)} for n, body in enumerate(bodies)]


def _responses() -> list[dict[str, Any]]:
    fields: dict[str, Any] = {"request_id": "r", "provider": "p", "model": "m", "usage": Usage(), "billing": "free"}
    used = [
        ModelUsed(**fields, status=200, cost_usd=0.1, complete=True),
        ModelUsed(**fields, status=529, cost_usd=0.0, complete=False, agent_id="a"),
    ]
    return [{"response": response} for response in used]


def _outcomes() -> list[dict[str, Any]]:
    done: dict[str, Any] = {
        "run_id": "2026-01-15-142013-000000",
        "goal": GOAL,
        "mode": "CONFORMANCE",
        "success": True,
        "output": "Done.",
        "cost_usd": 0.5,
        "billing": "real",
        "saved_usd": 0.0,
        "duration_s": 1.0,
        "steps": 0,
        "trace_id": None,
        "trace_version": None,
        "project": "default",
        "directory": None,
        "error": None,
    }
    failed = {**done, "success": False, "output": "", "error": ErrorInfo(what="It failed.")}
    return [{"outcome": Outcome(**done)}, {"outcome": Outcome(**failed)}]


def _stream() -> list[dict[str, Any]]:
    stamp: dict[str, Any] = {"run_id": "2026-01-15-142013-000000", "seq": 1, "at": datetime(2026, 1, 15, tzinfo=UTC)}
    started = [ToolStarted(**stamp, call=call, effect="external") for call in _calls()[:6]]
    finished = [RunFinished(**stamp, **given) for given in _outcomes()]
    return [{"event": event} for event in (Notice(text="A notice."), *started, *finished)]


_SAMPLES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "llmos_pre_tool_use": lambda: [{"call": call} for call in _calls()],
    "llmos_approve": lambda: [{"call": call, "verdict": Verdict.ask("Dear?", "kit")} for call in _calls()],
    "llmos_post_tool_use": _results,
    "llmos_pre_model_request": _requests,
    "llmos_post_model_response": _responses,
    "llmos_event": _stream,
    "llmos_user_prompt_submit": lambda: [{"prompt": text} for text in (GOAL, "", "---\n# \U0001f600\n{{workdir}}")],
    "llmos_stop": _outcomes,
}


def _text(given: Mapping[str, Any]) -> str:
    return repr({n: v.model_dump() if isinstance(v, Record) else v for n, v in given.items() if n != "run"})


def _short(given: Mapping[str, Any]) -> str:
    return _text(given)[:200]


def _decision(answer: Any) -> str:
    return answer.decision if isinstance(answer, Verdict) else type(answer).__name__
