"""Each check of run-time hooks can fail."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import Outcome, Run, RunFinished, ToolCall, Verdict, hookimpl
from llmos_testkit import make_plugin
from llmos_testkit.conformance import HooksConformance
from llmos_testkit.conformance.hooks import RUN_TIME, run_time_hooks

from .conformance_parts import assert_each_check_can_fail


def guard(call: ToolCall, run: Run) -> Any:
    command = call.input.get("command")
    return Verdict.deny("it removes files") if isinstance(command, str) and "rm" in command else None


async def observe(call: ToolCall, result: Any) -> Any:
    await anyio.lowlevel.checkpoint()


async def remember(prompt: str, run: Run) -> Any:
    await anyio.lowlevel.checkpoint()
    return f"Remember: it rains.\n{prompt}"


def complete(outcome: Outcome) -> Any:
    return outcome.model_copy(update={"steps": 1})


GOOD: dict[str, Any] = {
    "llmos_pre_tool_use": guard,
    "llmos_pre_model_request": lambda request, run: Verdict.allow(),
    "llmos_approve": lambda call, verdict, run: None,
    "llmos_post_tool_use": observe,
    "llmos_post_model_response": lambda response: None,
    "llmos_event": lambda event: None,
    "llmos_user_prompt_submit": remember,
    "llmos_stop": complete,
}


def unknown_argument(call: ToolCall, system: object = None) -> Any:
    return None


def generating(event: Any) -> Iterator[None]:
    yield None


def yes_man(call: ToolCall) -> Any:
    return True


def granting(call: ToolCall) -> Any:
    return Verdict.allow()


def touchy(call: ToolCall) -> Any:
    return Verdict.deny("it removes files") if "rm" in call.input["command"] else None  # type: ignore[operator]


def speechless(call: ToolCall) -> Any:
    return Verdict.deny("")


class Moody:
    turn = 0

    @hookimpl
    def judge(self, request: Any) -> Any:
        self.turn += 1
        return Verdict.deny("not now") if self.turn == 1 else None


def meddling(call: ToolCall) -> Any:
    call.input["seen"] = True


def failing(event: Any) -> None:
    raise KeyError(event.type)


def chatty(event: Any) -> Any:
    return "seen"


async def insisting(prompt: str) -> Any:
    assert prompt, "no prompt"


async def shouting(prompt: str) -> Any:
    return prompt.encode()


async def rewriting(prompt: str) -> Any:
    return "Do something else."


def flattering(outcome: Outcome) -> Any:
    return outcome.model_copy(update={"success": True})


async def hanging(event: Any) -> None:
    """Not at the first event: all must be answered."""
    if isinstance(event, RunFinished):
        await anyio.sleep_forever()


async def deaf(event: Any) -> None:
    try:
        await anyio.lowlevel.checkpoint()
    except anyio.get_cancelled_exc_class():
        return


def conforming(**changed: Any) -> type:
    class Checked(HooksConformance):
        answer_s = 2.0

        @pytest.fixture
        def plugin(self) -> object:
            return make_plugin(**{**GOOD, **changed})

    return Checked


def moody() -> type:
    class Checked(conforming()):  # type: ignore[misc]
        @pytest.fixture
        def plugin(self) -> object:
            mood = Moody()
            return make_plugin(**{**GOOD, "llmos_pre_model_request": mood.judge})

    return Checked


MUTANTS: dict[str, type] = {
    "test_hooks_take_known_arguments": conforming(llmos_pre_tool_use=unknown_argument),
    "test_hooks_are_plain_or_async_functions": conforming(llmos_event=generating),
    "test_guards_give_a_verdict": conforming(llmos_pre_tool_use=yes_man),
    "test_guards_bear_any_input": conforming(llmos_pre_tool_use=touchy),
    "test_guards_say_why": conforming(llmos_pre_tool_use=speechless),
    "test_guards_say_the_same_again": moody(),
    "test_hooks_change_nothing_they_are_given": conforming(llmos_pre_tool_use=meddling),
    "test_approvers_answer_yes_no_or_nothing": conforming(llmos_approve=granting),
    "test_observers_bear_any_input": conforming(llmos_event=failing),
    "test_observers_answer_nothing": conforming(llmos_event=chatty),
    "test_transforms_bear_any_input": conforming(llmos_user_prompt_submit=insisting),
    "test_transforms_keep_the_kind": conforming(llmos_user_prompt_submit=shouting),
    "test_prompts_keep_the_words_of_the_user": conforming(llmos_user_prompt_submit=rewriting),
    "test_outcomes_stay_honest": conforming(llmos_stop=flattering),
    "test_hooks_answer_in_time": conforming(llmos_event=hanging),
    "test_cancellation_passes": conforming(llmos_event=deaf),
}


def test_each_check_can_fail(tmp_path: Path) -> None:
    also = {"test_hooks_are_plain_or_async_functions": {"test_observers_answer_nothing"}}
    assert_each_check_can_fail(tmp_path, HooksConformance, conforming(), MUTANTS, also=also)


def test_the_hooks_are_those_of_the_core() -> None:
    from llmos_core import hookspecs

    specified = {name: value for name, value in vars(hookspecs).items() if name.startswith("llmos_")}
    contributions = {name for name in specified if "settings" in inspect.signature(specified[name]).parameters}
    run_time = {name: spec for name, spec in specified.items() if name not in {*contributions, "llmos_settings"}}
    assert {name: tuple(inspect.signature(spec).parameters) for name, spec in run_time.items()} == RUN_TIME


def test_hooks_of_a_plugin_are_found_by_name() -> None:
    class Plugin:
        @hookimpl
        def llmos_event(self, event: Any) -> None:
            """Nothing."""

    assert run_time_hooks(Plugin()) == ["llmos_event"]
