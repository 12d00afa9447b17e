"""Tasks: what may be asked, what is refused at once, and what no journal may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import LLMOS, Run, Task, UsageError, UserInput, make_task
from llmos_core.host.settings import SettingsFile
from tests.parts import Parts, Script

SECRET = "hunter2-hunter2"


def test_a_task_in_full() -> None:
    task = make_task(
        " Count the sales ",
        inputs={"region": "EU", "years": [2024, 2025], "deep": {"a": None}},
        constraints=["Max cost $0.10", "Must be Python"],
        priority=80,
        mode="learner",
        env={"KEY": "value"},
        permission_mode="plan",
        max_cost_usd=0.5,
    )
    assert (task.goal, task.mode, task.priority) == ("Count the sales", "LEARNER", 80)
    assert task.constraints == ("Max cost $0.10", "Must be Python")
    assert Task(goal="x").mode == make_task("x", mode=None).mode == "AUTO"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"priority": 101}, "priority: Input should be less than or equal to 100."),
        ({"priority": -1}, "priority:"),
        ({"max_cost_usd": 0}, "max_cost_usd: Input should be greater than 0."),
        ({"max_cost_usd": float("inf")}, "max_cost_usd:"),
        ({"max_cost_usd": float("nan")}, "max_cost_usd:"),
        ({"timeout_s": 0}, "timeout_s:"),
        ({"timeout_s": float("nan")}, "timeout_s:"),
        ({"max_turns": 0}, "max_turns:"),
        ({"permission_mode": "yolo"}, "permission_mode: Input should be 'default', 'acceptEdits'"),
        ({"constraints": "No Bash"}, "constraints: Input should be a valid tuple"),
        ({"env": {"1A": "x"}}, "env: String should match pattern"),
        ({"env": {"A=B": "x"}}, "env:"),
        ({"env": {"A\n": "x"}}, "env:"),
        ({"env": {"A": "x\0y"}}, "env:"),
        ({"env": {"A": 1}}, "env:"),
        ({"inputs": {1: "x"}}, "inputs: Input should be a valid string."),
        ({"inputs": {"x": {1, 2}}}, "inputs: input was not a valid JSON value."),
        ({"inputs": []}, "inputs:"),
        ({"inputs": {"x": float("nan")}}, "The inputs cannot be used."),
        ({"inputs": {"x": 10**5000}}, "The inputs cannot be used."),
        ({"inputs": {"x": "\ud800"}}, "The inputs cannot be used."),
        ({"constraints": ["\ud800"]}, "The inputs cannot be used."),
        ({"inputs": {"x": "a" * 100_001}}, "The inputs are too long."),
        ({"constraints": ["a" * 100_001]}, "The inputs are too long."),
        ({"colour": "red"}, "colour: Extra inputs are not permitted."),
        ({"mode": 3, "goal": ""}, "The goal is empty."),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_task(**{"goal": "x", **fields})
    assert str(caught.value).startswith(message)


def test_inputs_nested_too_deeply_are_refused() -> None:
    inputs: dict[str, Any] = {}
    inner = inputs
    for _ in range(5_000):
        inner["a"] = inner = {}
    with pytest.raises(UsageError, match="inputs"):
        make_task("x", inputs=inputs)


@given(st.dictionaries(st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,8}\Z"), st.text("abc\n=é"), max_size=3))
def test_the_record_gives_names_of_variables_only(env: dict[str, str]) -> None:
    task = Task(goal="x", env=env)
    assert task.env == env
    for data in (task.model_dump(), json.loads(task.model_dump_json())):
        assert data["env"] == dict.fromkeys(env, "***")


async def test_values_of_variables_are_in_no_journal_and_no_event(tmp_path: Path) -> None:
    async def act(run: Run) -> str:
        assert run.task.env == {"TOKEN": SECRET}
        return "done"

    seen: list[Any] = []
    plugins = {"parts": Parts(strategies=[Script(act)])}
    async with LLMOS(tmp_path / "space", settings=SettingsFile(), discover=False, plugins=plugins) as system:
        await system.execute("go", env={"TOKEN": SECRET}, on_event=seen.append)
    for path in (tmp_path / "space").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    [journal] = (tmp_path / "space").rglob("*.jsonl")
    assert '"env":{"TOKEN":"***"}' in journal.read_text("utf-8")
    assert SECRET not in "".join(event.model_dump_json() for event in seen)
    assert isinstance(seen[0], UserInput)
