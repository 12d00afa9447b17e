"""What every tool keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
from pydantic import BaseModel, ValidationError

from llmos_core import Run, Tool, ToolCall, ToolResult
from llmos_testkit.conformance.base import Conformance, swallows_cancellation
from llmos_testkit.conformance.schema import faults, sample
from llmos_testkit.conformance.stage import changes, stage, tree, without
from llmos_testkit.systems import make_plugin

EFFECTS = ("pure", "workspace", "external")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,52}")
"""What the Messages API takes, where ``mcp__llmos__`` stands before it."""

ODD_TEXTS = ("", "\0", "../../nothing/there", "/nonexistent/\u00fcmlaut", "(", "x" * 10_000, "\U0001f600\u202e")


class ToolConformance(Conformance):
    """Checks of a :class:`llmos_core.Tool`. Give it as the fixture ``tool``.

    ``example`` is an input that the tool can serve in an empty working directory; without one, an input is taken from
    the ``examples`` of the schema, or made from it. What acts on the outside is only run with an example that was
    given. ``bad_examples`` are inputs that fit the schema and cannot be served: the model must be told.
    """

    example: ClassVar[Mapping[str, Any] | None] = None
    bad_examples: ClassVar[tuple[Mapping[str, Any], ...]] = ()

    @pytest.fixture
    def tool(self) -> Tool:
        """The tool under test."""
        raise NotImplementedError("give the tool: override the fixture `tool`")

    def test_fulfils_the_contract(self, tool: Tool) -> None:
        assert isinstance(tool, Tool), f"{type(tool).__name__} lacks a part of llmos_core.Tool"
        assert issubclass(tool.input_model, BaseModel), "input_model is no pydantic model"

    def test_name_can_be_offered_to_a_model(self, tool: Tool) -> None:
        assert _NAME.fullmatch(tool.name), f"{tool.name!r}: letters, digits, _ and - only, at most 52"

    def test_description_tells_a_model_what_it_is_for(self, tool: Tool) -> None:
        assert isinstance(tool.description, str), "the description is no text"
        assert tool.description.strip(), "the description is empty"

    def test_schema_is_json_schema_of_an_object(self, tool: Tool) -> None:
        schema = tool.input_model.model_json_schema()
        json.dumps(schema)
        assert schema.get("type") == "object", "the input is no object"
        assert not list(faults(schema)), "; ".join(faults(schema))

    def test_unknown_keys_are_refused(self, tool: Tool) -> None:
        given = {**self._example(tool), "no_such_key_of_it": 1}
        assert not _fits(tool, given), 'an unknown key is taken: give the input model extra="forbid"'

    def test_effect_is_one_of_three(self, tool: Tool) -> None:
        for input in self._inputs(tool):
            effect = tool.effect(input)
            assert effect in EFFECTS, f"effect() answered {effect!r}"

    def test_effect_says_the_same_again_and_changes_nothing(self, tool: Tool, place: Path) -> None:
        for input in self._inputs(tool):
            before, state = input.model_dump_json(), tree(place)
            first, second = tool.effect(input), tool.effect(input)
            assert first == second, "effect() says another thing the second time"
            assert input.model_dump_json() == before, "effect() changed the input"
            assert tree(place) == state, "effect() changed files"

    async def test_run_gives_a_result(self, tool: Tool, place: Path) -> None:
        input = self._runnable(tool)
        async with self._staged(place) as run:
            _check_result(await _run(tool, input, run))

    async def test_run_leaves_its_input_alone(self, tool: Tool, place: Path) -> None:
        input = self._runnable(tool)
        before = input.model_dump_json()
        async with self._staged(place) as run:
            await _run(tool, input, run)
        assert input.model_dump_json() == before, "the input was changed; a replay would see another"

    async def test_effect_is_kept(self, tool: Tool, place: Path) -> None:
        input = self._runnable(tool)
        effect = tool.effect(input)
        async with self._staged(place) as run:
            before = tree(place.parent)
            await _run(tool, input, run)
            changed = changes(before, tree(place.parent))
            inside = run.workdir.relative_to(place.parent).as_posix()
        if effect == "pure":
            assert not changed, f"it says pure, and changed: {', '.join(changed)}"
        if effect == "workspace":
            outside = [path for path in changed if path != inside and not path.startswith(f"{inside}/")]
            assert not outside, f"it says workspace, and changed outside the working directory: {', '.join(outside)}"

    async def test_odd_input_gives_a_result_too(self, tool: Tool, place: Path) -> None:
        async with self._staged(place) as run:
            for input in self._odd(tool):
                _check_result(await _run(tool, input, run))

    async def test_bad_input_gives_a_result_that_says_so(self, tool: Tool, place: Path) -> None:
        if not self.bad_examples:
            pytest.skip("no bad_examples are given")
        async with self._staged(place) as run:
            for given in self.bad_examples:
                result = await _run(tool, tool.input_model.model_validate(dict(given)), run)
                _check_result(result)
                assert result.is_error, f"{given} cannot be served, and the result is no error"
                assert result.output.strip(), f"{given}: the model is not told what is wrong"

    async def test_two_calls_at_once_do_not_meet(self, tool: Tool, place: Path) -> None:
        first, second = self._runnable(tool), self._runnable(tool)
        results: list[Any] = []
        async with self._staged(place) as run:

            async def one(input: BaseModel) -> None:
                results.append(await _run(tool, input, run))

            async with anyio.create_task_group() as group:
                group.start_soon(one, first)
                group.start_soon(one, second)
        for result in results:
            _check_result(result)
        assert len({result.is_error for result in results}) == 1, "one of two equal calls failed"

    async def test_cancellation_passes(self, tool: Tool, place: Path) -> None:
        input = self._runnable(tool)
        async with self._staged(place) as run:
            swallowed = await swallows_cancellation(lambda: tool.run(input, run))
        assert not swallowed, "run() swallowed its cancellation"

    async def test_it_passes_the_tool_door(self, tool: Tool, place: Path) -> None:
        given = self._runnable(tool).model_dump(mode="json", exclude_unset=True)
        async with stage(place, {**self._others(), "tool-under-test": make_plugin(tools=[tool])}) as run:
            result = await run.call(ToolCall(id="c1", tool=tool.name, input=given))
        refused = result.data.get("denied")
        assert not refused, f"the kernel refused the call: {result.output}"

    def _example(self, tool: Tool) -> dict[str, Any]:
        made = self.example if self.example is not None else sample(tool.input_model.model_json_schema())
        return dict(made)

    def _inputs(self, tool: Tool) -> list[BaseModel]:
        made = self._example(tool)
        if not _fits(tool, made):
            if self.example is not None:
                pytest.fail(f"the example does not fit the input model: {made}")
            pytest.skip("no input can be made from the schema: give an `example`")
        return [tool.input_model.model_validate(made)]

    def _runnable(self, tool: Tool) -> BaseModel:
        [input] = self._inputs(tool)
        if not self._may_run(tool, input):
            pytest.skip("it acts on the outside: give an `example` that may be run")
        return input

    def _may_run(self, tool: Tool, input: BaseModel) -> bool:
        named = self.example is not None or bool(tool.input_model.model_json_schema().get("examples"))
        return named or tool.effect(input) in ("pure", "workspace")

    def _odd(self, tool: Tool) -> Iterator[BaseModel]:
        """The example with odd texts in its place, where the tool itself says that it stays in the workspace."""
        [input] = self._inputs(tool)
        given = self._example(tool)
        keys = [name for name, value in given.items() if isinstance(value, str)]
        if not keys:
            pytest.skip("its input holds no text")
        for key in keys:
            for text in ODD_TEXTS:
                if _fits(tool, {**given, key: text}):
                    input = tool.input_model.model_validate({**given, key: text})
                    if tool.effect(input) in ("pure", "workspace"):
                        yield input

    def _staged(self, place: Path) -> Any:
        return stage(place, self._others())

    def _others(self) -> dict[str, object]:
        return {name: without(plugin, "llmos_tools") for name, plugin in self.plugins.items()}


async def _run(tool: Tool, input: BaseModel, run: Run) -> Any:
    """Run a tool; an exception fails the check with the words of the contract."""
    try:
        return await tool.run(input, run)
    except (Exception, SystemExit) as error:
        raise AssertionError(
            f"run() raised {type(error).__name__} for {input!r}: failures that the model should see are results"
        ) from error


def _check_result(result: Any) -> None:
    assert isinstance(result, ToolResult), f"run() gave {type(result).__name__}, not a ToolResult"
    result.output.encode()
    result.model_dump_json()


def _fits(tool: Tool, given: Mapping[str, Any]) -> bool:
    try:
        tool.input_model.model_validate(dict(given))
    except ValidationError:
        return False
    return True
