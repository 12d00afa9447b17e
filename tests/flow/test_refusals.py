"""What must never become followable, and what must never be lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import LLMOS, Result, Run, Task, ToolCall, hookimpl
from tests.flow.conftest import GOAL, STEPS, Boot, ScriptedLearner
from tests.flow.test_learn_and_follow import traces
from tests.parts import Model

pytestmark = pytest.mark.slow


async def test_no_verification_makes_a_failed_run_followable(boot: Boot) -> None:
    async with boot(ScriptedLearner(success=False)) as system:
        await system.execute(GOAL)
    async with boot() as system:
        verified = await system.execute(GOAL, mode="verifier")
        assert not verified.success
        assert verified.error
        assert "the run failed" in verified.error.why
        assert not (await system.execute(GOAL)).success


async def test_a_call_that_was_cut_off_leaves_experience_only(boot: Boot) -> None:
    class Impatient(ScriptedLearner):
        async def run(self, task: Task, run: Run) -> Result:
            async with anyio.create_task_group() as group:
                slow = ToolCall(id="slow", tool="Bash", input={"command": "echo sent >> marker; sleep 60"})
                group.start_soon(run.call, slow)
                while not (run.workdir / "marker").exists():  # noqa: ASYNC110 - a file has no event
                    await anyio.sleep(0.01)
                group.cancel_scope.cancel()
            return await super().run(task, run)

    async with boot(Impatient()) as system:
        outcome = await system.execute(GOAL)
        [stored] = await traces(system)
    assert outcome.followable is False
    assert stored.refusal == "a call of Bash was cut off: what it did is not known"


async def test_verification_that_is_interrupted_loses_nothing(boot: Boot) -> None:
    learner = ScriptedLearner((*STEPS, ("Bash", {"command": "[ -e slow ] && sleep 60; echo quick"})))

    async def act(system: LLMOS, scope: anyio.CancelScope) -> None:
        with system.events() as events:
            async for event in events:
                if event.run_id.endswith(".verify"):
                    scope.cancel()

    async with boot(learner) as system:
        async with anyio.create_task_group() as group:
            group.start_soon(act, system, group.cancel_scope)
            await system.execute(GOAL)
        [stored] = await traces(system)
    assert stored.refusal == "the verification was interrupted"


async def test_a_file_written_again_as_it_was_is_checked_too(boot: Boot, tmp_path: Path) -> None:
    """Else a trace learned where its work was done already would check nothing."""
    space = tmp_path / "space"
    output = space / "projects/default/output"
    output.mkdir(parents=True)
    (space / "config").write_text("B")
    (output / "copy").write_text("B")
    async with boot(ScriptedLearner([("Bash", {"command": "cat @workspace/config > copy"})])) as system:
        assert (await system.execute(GOAL)).followable
        [stored] = await traces(system)
        assert stored.trace
        assert [produced.path for produced in stored.trace.files] == ["copy"]
        (space / "config").write_text("C")
        assert (await system.execute(GOAL)).exit_code == 5


async def test_an_edited_trace_is_known_by_the_files_it_leaves_now(boot: Boot) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
        [stored] = await traces(system)
    path = Path(stored.location)
    text = path.read_text("utf-8").replace("hello\n\n```", "servus\n\n```").replace("Output: hello", "Output: servus")
    start, end = text.index("## Files"), text.index("## Answer")
    path.write_text(text[:start] + text[end:], "utf-8")
    async with boot() as system:
        verified = await system.execute(GOAL, mode="verifier")
        assert verified.success, verified.error
        [renewed] = [s for s in await traces(system) if s.version == verified.trace_version]
        assert renewed.trace
        assert [produced.path for produced in renewed.trace.files] == ["hello.txt"]
        assert (await system.execute(GOAL)).success


async def test_a_credential_reaches_neither_model_nor_trace(boot: Boot, tmp_path: Path) -> None:
    secret = "sk-very-secret-0123456789"

    class Holder:
        @hookimpl
        def llmos_models(self) -> list[Any]:
            model = Model()
            model.credentials = (secret,)
            return [model]

    (tmp_path / "space").mkdir()
    (tmp_path / "space/.env").write_text(f"KEY={secret}\n")
    learner = ScriptedLearner([("Read", {"file_path": "@workspace/.env"})], answer=f"The key is {secret}.")
    async with boot(learner, more={"holder": Holder()}) as system:
        outcome = await system.execute(GOAL)
        assert outcome.output == "The key is ***."
        assert outcome.followable
        assert (await system.execute(GOAL)).success
    for path in (tmp_path / "space").rglob("*"):
        if path.is_file() and path.name != ".env":
            assert secret.encode() not in path.read_bytes(), path


async def test_a_damaged_log_of_outcomes_stops_nothing(boot: Boot, tmp_path: Path) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
        await system.execute(GOAL)
    log = tmp_path / "space/memories/outcomes.sqlite"
    log.write_bytes(b"\xff" * 5000)
    async with boot() as system:
        assert (await system.execute(GOAL)).success
        [stored] = await traces(system)
    assert stored.uses == 1
    assert len(list(log.parent.glob("outcomes.sqlite.damaged-*"))) == 1


async def test_what_cannot_be_counted_was_followed_all_the_same(boot: Boot, tmp_path: Path) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
    (tmp_path / "space/memories/outcomes.sqlite").unlink(missing_ok=True)
    (tmp_path / "space/memories/outcomes.sqlite").mkdir()
    async with boot() as system:
        assert (await system.execute(GOAL)).success


@pytest.mark.parametrize("name", ["c\udcff.txt"])
async def test_a_name_that_is_no_text_harms_no_follow(boot: Boot, tmp_path: Path, name: str) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
    (tmp_path / "space/projects/default/output" / name).touch()
    async with boot() as system:
        outcome = await system.execute(GOAL)
    assert outcome.success, outcome.error
