"""A trace that came from elsewhere is followed without network, and trusted once its user has verified it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from llmos_core import (
    LLMOS,
    Notice,
    Outcome,
    Run,
    StoredTrace,
    ToolCall,
    Verdict,
    make_task,
    render_trace,
    trace_version,
)
from tests.flow.conftest import GOAL, Boot, ScriptedLearner

pytestmark = pytest.mark.slow

NOT_YOURS = "This trace was not learned here by you, so its commands reach no network. To trust it, read it "


class Watched:
    """A system in which is written down what was called, and whether it could reach a network then."""

    def __init__(self, system: LLMOS, judged: list[tuple[str, bool, bool]]) -> None:
        self.system = system
        self.judged = judged
        self.events: list[Any] = []

    async def run(self, **fields: Any) -> Outcome:
        self.judged.clear()
        self.events.clear()
        return await self.system.execute(GOAL, on_event=self.events.append, **fields)

    @property
    def warnings(self) -> Sequence[str]:
        return [event.text for event in self.events if isinstance(event, Notice) and event.level == "warning"]

    @property
    def offline(self) -> set[bool]:
        """Whether the runs whose calls were judged were offline."""
        return {offline for _, offline, _ in self.judged}

    async def traces(self) -> list[StoredTrace]:
        return [stored async for stored in self.system.machine.traces.scan()]


Watch = Callable[..., Any]


@pytest.fixture
def watch(boot: Boot) -> Watch:
    @asynccontextmanager
    async def make(learner: Any = None, deny: str | None = None, **hooks: Any) -> AsyncIterator[Watched]:
        judged: list[tuple[str, bool, bool]] = []

        async def guard(call: ToolCall, run: Run) -> Verdict | None:
            judged.append((call.id, run.is_offline, run.is_copy))
            return Verdict.deny("not here", rule="test") if call.tool == deny else None

        async with boot(learner, llmos_pre_tool_use=guard, **hooks) as system:
            yield Watched(system, judged)

    return make


@pytest.fixture
async def learned(watch: Watch, tmp_path: Path) -> StoredTrace:
    """A trace that the user of the test learned; what it left is gone."""
    async with watch(ScriptedLearner()) as own:
        assert (await own.run()).followable
        assert own.offline == {False}
        assert own.warnings == []
        stored: StoredTrace
        [stored] = await own.traces()
    shutil.rmtree(tmp_path / "space/projects")
    assert not stored.foreign
    return stored


@pytest.fixture
def elsewhere(learned: StoredTrace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredTrace:
    """The same trace for another user, who has got the workspace."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another-user"))
    return learned


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "space/projects/default/output").iterdir())


def put(stored: StoredTrace, **changes: Any) -> str:
    """Put a trace beside another, as a file named by its own digest; gives its version."""
    assert stored.trace
    text = render_trace(stored.trace.model_copy(update=changes))
    version = trace_version(text.encode())
    Path(stored.location).with_name(f"{version}.md").write_text(text, "utf-8")
    return version


async def test_ones_own_is_followed_with_network_wherever_the_workspace_is(
    learned: StoredTrace, watch: Watch, tmp_path: Path
) -> None:
    shutil.move(tmp_path / "space", tmp_path / "moved")
    async with watch(workspace=tmp_path / "moved") as own:
        followed = await own.run()
    assert (followed.mode, followed.success) == ("FOLLOWER", True)
    assert own.offline == {False}
    assert own.warnings == []


async def test_one_from_elsewhere_is_followed_without_network(
    elsewhere: StoredTrace, watch: Watch, tmp_path: Path
) -> None:
    async with watch() as other:
        followed = await other.run()
        [stored] = await other.traces()
    assert (followed.mode, followed.success, followed.output) == ("FOLLOWER", True, "hello")
    assert [call for call, *_ in other.judged] == ["step-1", "step-2"] * 2
    assert other.offline == {True}, "already when all steps were judged, before the first"
    [warning] = other.warnings
    named = f"{stored.trace_id[:8]} --version {stored.version[:8]}"
    assert warning == f"{NOT_YOURS}(llmos traces show {named}), then run: llmos traces verify {named}"
    kinds = [event.type for event in other.events]
    assert kinds.index("notice") < kinds.index("tool_started")
    assert (stored.foreign, stored.uses, stored.successes) == (True, 1, 1)


async def test_one_that_was_put_there_is_followed_without_network(
    learned: StoredTrace, watch: Watch, tmp_path: Path
) -> None:
    version = put(learned, answer="planted")
    Path(learned.location).unlink()
    async with watch() as own:
        followed = await own.run()
    assert (followed.trace_version, followed.output) == (version, "planted")
    assert own.offline == {True}


async def test_a_step_that_is_denied_is_refused_before_the_first(
    elsewhere: StoredTrace, watch: Watch, tmp_path: Path
) -> None:
    async with watch(deny="Bash") as other:
        outcome = await other.run(mode="follower")
    assert outcome.exit_code == 4
    assert outcome.error
    assert "step-2 (Bash" in outcome.error.what
    assert outcome.steps == 0
    assert [event.type for event in other.events if event.type.startswith("tool")] == ["tool_denied"]
    assert files(tmp_path) == []


async def test_verified_it_is_trusted(elsewhere: StoredTrace, watch: Watch) -> None:
    before = Path(elsewhere.location).read_bytes()
    async with watch() as other:
        verified = await other.run(mode="verifier", version=elsewhere.version)
        assert verified.success, verified.error
        assert verified.output == f"Verified: {elsewhere.trace_id}, version {elsewhere.version}, trusted from now on"
        before_the_first = [("step-1", True, False), ("step-2", True, False)]
        in_a_copy = [("step-1", True, True), ("step-2", True, True)]
        assert other.judged == [*before_the_first, *in_a_copy], "all without network"
        [stored] = await other.traces()
        assert (stored.version, stored.foreign) == (elsewhere.version, False)
        assert Path(stored.location).read_bytes() == before

        followed = await other.run()
        assert (followed.mode, followed.success) == ("FOLLOWER", True)
        assert other.offline == {False}
        assert other.warnings == []

        again = await other.run(mode="verifier")
        assert again.output == f"Verified: {elsewhere.trace_id}, version {elsewhere.version}"
        assert other.offline == {False}


async def test_what_the_guards_deny_verifies_nothing(elsewhere: StoredTrace, watch: Watch) -> None:
    async with watch(deny="Bash") as other:
        outcome = await other.run(mode="verifier")
        [stored] = await other.traces()
    assert outcome.exit_code == 4
    assert outcome.error
    assert "step-2 (Bash" in outcome.error.what
    assert stored.foreign


async def test_what_gives_something_else_stays_foreign(learned: StoredTrace, watch: Watch) -> None:
    assert learned.trace
    steps = [
        step.model_copy(update={"result": step.result.model_copy(update={"output": "claimed"})})
        for step in learned.trace.steps
    ]
    version = put(learned, steps=tuple(steps))
    async with watch() as own:
        outcome = await own.run(mode="verifier", version=version)
        assert outcome.exit_code == 5
        assert {stored.version: stored.foreign for stored in await own.traces()} == {
            version: True,
            learned.version: False,
        }


@pytest.mark.parametrize(
    "change", [{"verified": None, "unverified_reason": "untried"}, None], ids=["untried", "edited"]
)
async def test_one_that_may_not_be_followed_is_verified_without_network_too(
    learned: StoredTrace, watch: Watch, change: dict[str, Any] | None
) -> None:
    path = Path(learned.location)
    if change is None:
        version = learned.version
        path.write_text(path.read_text("utf-8").replace("cat hello.txt", "cat ./hello.txt"), "utf-8")
    else:
        version = put(learned, **change)
        path.unlink()
    async with watch() as own:
        verified = await own.run(mode="verifier", version=version)
        assert verified.success, verified.error
        assert own.offline == {True}
        assert verified.trace_version != version
        followed = await own.run()
        assert followed.trace_version == verified.trace_version
        assert own.offline == {False}


async def test_ones_own_goes_before_a_newer_one_from_elsewhere(learned: StoredTrace, watch: Watch) -> None:
    assert learned.trace
    newer = put(learned, created_at=learned.trace.created_at + timedelta(days=400), answer="planted")
    async with watch() as own:
        assert (await own.run()).trace_version == learned.version
        assert own.offline == {False}
        assert (await own.run(version=newer)).output == "planted"
        assert own.offline == {True}


async def test_it_is_explained(elsewhere: StoredTrace, watch: Watch) -> None:
    async with watch() as other:
        auction = await other.system.explain(make_task(GOAL))
    named = f"{elsewhere.trace_id[:8]}, version {elsewhere.version[:8]}"
    assert auction.bids["FOLLOWER"].reason == f"a verified trace fits ({named}), learned elsewhere"
    assert [(candidate.foreign, candidate.refused) for candidate in auction.candidates] == [(True, None)]


async def test_learning_does_not_fail_where_there_is_no_key(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", "/proc")
        async with watch(ScriptedLearner()) as own:
            learned = await own.run()
            assert (learned.success, learned.followable) == (True, True)
            [warning] = own.warnings
            assert "could not be marked as your own" in warning
            assert (await own.run()).mode == "FOLLOWER"
            assert own.offline == {True}
            verified = await own.run(mode="verifier")
            assert verified.success
            assert "trusted" not in verified.output
            assert [text for text in own.warnings if "could not be marked" in text] == [warning]
    async with watch() as own:
        assert (await own.run(mode="verifier")).output.endswith("trusted from now on")
        assert (await own.run()).mode == "FOLLOWER"
        assert own.offline == {False}
