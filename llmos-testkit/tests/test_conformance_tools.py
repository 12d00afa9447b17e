"""Each check of tools can fail: for each there is a tool that breaks that promise, and no other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, ConfigDict, Field

from llmos_core import Run, Tool, ToolResult
from llmos_testkit.conformance import ToolConformance
from llmos_testkit.conformance.schema import faults, sample

from .conformance_parts import assert_each_check_can_fail, run_checks


class PutInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    text: str = "nothing"
    tags: list[str] = []


class Put:
    """Writes a file into the working directory."""

    name = "Put"
    description = "Writes a text into a file."
    input_model: Any = PutInput

    def effect(self, input: Any) -> Any:
        return "workspace"

    async def run(self, input: Any, run: Run) -> Any:
        await anyio.lowlevel.checkpoint()
        path = run.workdir / input.name
        try:
            path.resolve().relative_to(run.workdir.resolve())
            path.write_text(input.text)
        except (ValueError, OSError) as error:
            return ToolResult(output=f"Not written: {error}", is_error=True)
        return ToolResult(output="written")


class Duck:
    """No pydantic model, though it has the methods of one."""

    model_validate = PutInput.model_validate
    model_json_schema = PutInput.model_json_schema


class Loose(PutInput):
    model_config = ConfigDict(extra="ignore")


class NoObject(PutInput):
    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {**super().model_json_schema(*args, **kwargs), "required": ["name", "no_such"]}


class Changing(Put):
    def __init__(self) -> None:
        self.asked = 0

    def effect(self, input: Any) -> Any:
        self.asked += 1
        return "workspace" if self.asked % 2 else "pure"


class Nothing(Put):
    async def run(self, input: Any, run: Run) -> Any:
        return "written" if input.name == "hello" else await super().run(input, run)


class Editing(Put):
    async def run(self, input: Any, run: Run) -> Any:
        result = await super().run(input, run)
        input.tags.append("seen")
        return result


class Outside(Put):
    async def run(self, input: Any, run: Run) -> Any:
        (Path.home() / "log").write_text("called")
        return await super().run(input, run)


class Touchy(Put):
    async def run(self, input: Any, run: Run) -> Any:
        if "\0" in input.name:
            sys.exit(3)
        return await super().run(input, run)


class Silent(Put):
    async def run(self, input: Any, run: Run) -> Any:
        result = await super().run(input, run)
        return ToolResult(output="fine") if result.is_error else result


class Meeting(Put):
    def __init__(self) -> None:
        self.busy = False

    async def run(self, input: Any, run: Run) -> Any:
        if self.busy:
            return ToolResult(output="busy", is_error=True)
        self.busy = True
        try:
            return await super().run(input, run)
        finally:
            self.busy = False


class Deaf(Put):
    async def run(self, input: Any, run: Run) -> Any:
        try:
            return await super().run(input, run)
        except anyio.get_cancelled_exc_class():
            return ToolResult(output="never mind")


class Picky(PutInput):
    @classmethod
    def model_validate(cls, given: Any, **options: Any) -> Any:
        return PutInput.model_validate({"text": "nothing", "tags": [], **given}, **options)


def with_(**attributes: Any) -> Tool:
    return type("Broken", (Put,), attributes)()


class ShortInput(PutInput):
    """Validated twice it is refused: the door validates what was validated and written down."""

    name: str = Field(alias="title")


def conforming(make: Any) -> type:
    class Checked(ToolConformance):
        example = {"name": "hello", "text": "\u00fc"}
        bad_examples = ({"name": "../outside"}, {"name": "no/such/directory"})

        @pytest.fixture
        def tool(self) -> Tool:
            return make()

    return Checked


def titled() -> type:
    class Checked(conforming(lambda: with_(input_model=ShortInput))):  # type: ignore[misc]
        example = {"title": "hello"}
        bad_examples = ({"title": "../outside"},)

    return Checked


MUTANTS: dict[str, Any] = {
    "test_fulfils_the_contract": conforming(lambda: with_(input_model=Duck)),
    "test_name_can_be_offered_to_a_model": conforming(lambda: with_(name="Put it")),
    "test_description_tells_a_model_what_it_is_for": conforming(lambda: with_(description=" ")),
    "test_schema_is_json_schema_of_an_object": conforming(lambda: with_(input_model=NoObject)),
    "test_unknown_keys_are_refused": conforming(lambda: with_(input_model=Loose)),
    "test_effect_is_one_of_three": conforming(lambda: with_(effect=lambda *_: "local")),
    "test_effect_says_the_same_again_and_changes_nothing": conforming(Changing),
    "test_run_gives_a_result": conforming(Nothing),
    "test_run_leaves_its_input_alone": conforming(Editing),
    "test_effect_is_kept": conforming(Outside),
    "test_odd_input_gives_a_result_too": conforming(Touchy),
    "test_bad_input_gives_a_result_that_says_so": conforming(Silent),
    "test_two_calls_at_once_do_not_meet": conforming(Meeting),
    "test_cancellation_passes": conforming(Deaf),
    "test_it_passes_the_tool_door": titled(),
}


def test_each_check_can_fail(tmp_path: Path) -> None:
    also = {
        "test_run_gives_a_result": {"test_two_calls_at_once_do_not_meet", "test_odd_input_gives_a_result_too"},
        # The core takes no such tools:
        "test_fulfils_the_contract": {"test_it_passes_the_tool_door"},
        "test_name_can_be_offered_to_a_model": {"test_it_passes_the_tool_door"},
        "test_effect_is_one_of_three": {"test_it_passes_the_tool_door"},
    }
    assert_each_check_can_fail(tmp_path, ToolConformance, conforming(Put), MUTANTS, also=also)


def test_a_tool_that_hangs_fails_in_time(tmp_path: Path) -> None:
    async def hang(self: Any, input: Any, run: Run) -> None:
        await anyio.sleep_forever()

    class Checked(conforming(lambda: with_(run=hang))):  # type: ignore[misc]
        limit_s = 0.2

    verdicts = run_checks(tmp_path, {"hanging": Checked}, "-k", "run_gives").verdicts
    assert verdicts["hanging"] == {"test_run_gives_a_result": "failed"}


def test_what_acts_on_the_outside_is_not_run_without_an_example(tmp_path: Path) -> None:
    ran = []

    class Launch(Put):
        def effect(self, input: Any) -> Any:
            return "external"

        async def run(self, input: Any, run: Run) -> Any:
            ran.append(input)
            return ToolResult(output="launched")

    class Unknown(ToolConformance):
        @pytest.fixture
        def tool(self) -> Tool:
            return Launch()

    class Known(Unknown):
        example = {"name": "hello"}

    verdicts = run_checks(tmp_path, {"unknown": Unknown}).verdicts
    assert not ran
    assert set(verdicts["unknown"].values()) == {"passed", "skipped"}
    verdicts = run_checks(tmp_path, {"known": Known}).verdicts
    assert ran
    assert verdicts["known"]["test_run_gives_a_result"] == "passed"


class Deep(BaseModel):
    model_config = ConfigDict(extra="forbid")

    class Inner(BaseModel):
        kind: str = Field(pattern="^x$", examples=["x"])
        count: int = Field(gt=3, lt=5)

    inner: Inner
    several: list[Inner] = Field(min_length=2)
    word: str = Field(min_length=20, max_length=21)
    part: float = Field(le=0.5)
    choice: int | None
    flag: bool


def test_an_input_can_be_made_from_a_schema() -> None:
    schema = Deep.model_json_schema()
    assert Deep.model_validate(sample(schema)).inner.count == 4
    assert not list(faults(schema))


def test_true_and_false_are_schemas() -> None:
    schema = {
        "type": "object",
        "properties": {"text": True, "no": False, "either": {"anyOf": [True]}, "any": {"$ref": "#/$defs/Any"}},
        "required": ["text", "either", "any"],
        "$defs": {"Any": True},
    }
    assert list(faults(schema)) == []
    assert sample(schema).keys() == {"text", "either", "any"}
    assert sample({"type": "array", "items": True, "minItems": 2}) == ["conformance"] * 2


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "dict"}, "input: dict is no type"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/B"}}}, "input.a: #/$defs/B names nothing"),
        ({"type": "object", "required": ["a"]}, "input: a is required, but no property"),
        ({"type": "array", "items": {"anyOf": [{"type": "text"}]}}, "input[]: text is no type"),
    ],
)
def test_faults_of_a_schema_are_named(schema: dict[str, Any], said: str) -> None:
    assert list(faults(schema)) == [said]
