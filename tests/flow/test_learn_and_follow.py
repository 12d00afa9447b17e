"""The promise: learned once, verified, then followed for $0; and a clear refusal of everything else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from llmos_core import LLMOS, Result, Run, StoredTrace, Task, ToolCall, Verdict, make_task, parse_trace
from tests.flow.conftest import GOAL, STEPS, Boot, ScriptedLearner

pytestmark = pytest.mark.slow


async def traces(system: LLMOS) -> list[StoredTrace]:
    return [stored async for stored in system.machine.traces.scan()]


async def test_learned_in_one_process_followed_in_the_next(boot: Boot) -> None:
    learner = ScriptedLearner()
    async with boot(learner) as system:
        learned = await system.execute(GOAL)
        [stored] = await traces(system)
    assert (learned.mode, learned.success, learned.followable) == ("LEARNER", True, True)
    assert learned.trace_version == stored.version
    async with boot(learner) as system:
        followed = await system.execute(GOAL)
        [stored] = await traces(system)
    assert (followed.mode, followed.success, followed.cost_usd) == ("FOLLOWER", True, 0)
    assert followed.output == learned.output == "hello"
    assert followed.steps == 2
    assert learner.runs == 1
    assert (stored.uses, stored.successes, stored.last_success) == (1, 1, True)


async def test_nothing_is_left_of_the_verification(boot: Boot, tmp_path: Path) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
    assert [path.name for path in (tmp_path / "space/projects/default").iterdir()] == ["output"]


@pytest.mark.parametrize(
    "other",
    [
        "Write a greeting and print it",
        "Do not write a greeting and show it",
        "write a greeting and show it",
        "Write a greeting and show it 2",
    ],
)
async def test_a_goal_that_differs_is_not_followed(boot: Boot, other: str) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
    async with boot() as system:
        outcome = await system.execute(other)
        assert not outcome.success
        assert outcome.steps == 0
        assert (await system.execute("  Write a greeting\nand show it ")).mode == "FOLLOWER"


SEEN = "{ [ -e @workdir/../twice ] || ! touch @workdir/../twice; }"
ECHO = ("Bash", {"command": "echo done"})


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([("Bash", {"command": "date +%s"})], "step 1"),
        ([("Bash", {"command": "sleep 0.9; date +%s"})], "step 1"),
        ([("Bash", {"command": "echo before"}), ("Bash", {"command": "exit 3"})], "its last step failed: Bash"),
        ([("Bash", {"command": "date +%s > stamp; echo ok"})], "stamp came out with other contents"),
        ([("Bash", {"command": "mktemp -p . draft.XXXXXXXX > /dev/null; echo ok"})], "draft."),
        ([("Bash", {"command": f"touch f; {SEEN} && chmod 700 f; echo done"})], "another mode"),
        ([("Bash", {"command": f"{SEEN} && touch extra; echo done"})], "extra was made, which the run did not leave"),
        ([("Bash", {"command": "echo $RANDOM$RANDOM$RANDOM"})], "step 1"),
        ([("Bash", {"command": "[ -e @workdir/../seen ] || { touch @workdir/../seen; exit 3; }"}), ECHO], "step 1"),
    ],
    ids=[
        "prints the clock",
        "prints the clock at its end",
        "ends in a failure",
        "writes the clock",
        "names at random",
        "another mode",
        "an extra file",
        "prints at random",
        "exits otherwise",
    ],
)
async def test_what_does_not_replay_is_kept_as_experience_only(boot: Boot, steps: Any, reason: str) -> None:
    learner = ScriptedLearner(steps)
    events = []
    async with boot(learner, confined=False) as system:  # some remember outside that they ran before
        with system.events() as stream:
            outcome = await system.execute(GOAL)
            while stream.statistics().current_buffer_used:
                events.append(stream.receive_nowait())
        [stored] = await traces(system)
        assert outcome.success
        assert outcome.followable is False
        assert stored.refusal
        assert reason in stored.refusal
        [saved] = [event for event in events if event.type == "trace_saved"]
        assert saved.reason == stored.refusal
        assert (await system.execute(GOAL)).mode == "LEARNER"


async def test_a_failed_run_is_never_followable(boot: Boot) -> None:
    async with boot(ScriptedLearner(success=False)) as system:
        outcome = await system.execute(GOAL)
        [stored] = await traces(system)
    assert outcome.followable is False
    assert stored.refusal == "the run failed"


async def test_a_run_without_tools_makes_no_trace(boot: Boot) -> None:
    async with boot(ScriptedLearner([], answer="It is noon.")) as system:
        outcome = await system.execute(GOAL)
        assert outcome.trace_id is None
        assert await traces(system) == []


async def test_it_replays_after_the_workspace_was_moved(boot: Boot, tmp_path: Path) -> None:
    steps = [
        ("Write", {"file_path": "@workdir/a/note.txt", "content": "a note\n"}),
        ("Bash", {"command": "cd @workdir/a && pwd && cat note.txt && cat @workspace/fact.txt"}),
    ]
    space, moved = tmp_path / "space", tmp_path / "moved-elsewhere"
    space.mkdir()
    (space / "fact.txt").write_text("a fact\n")
    async with boot(ScriptedLearner(steps)) as system:
        learned = await system.execute(GOAL)
        [stored] = await traces(system)
    assert learned.followable, stored.refusal
    assert str(space) not in Path(stored.location).read_text("utf-8")
    shutil.move(space, moved)
    shutil.rmtree(moved / "projects")
    async with boot(workspace=moved) as system:
        followed = await system.execute(GOAL)
    assert followed.mode == "FOLLOWER", followed.error
    assert followed.success, followed.error
    assert followed.output == learned.output.replace(str(space), str(moved))
    assert str(moved) in followed.output


async def test_a_command_is_not_replayed_where_its_paths_are_no_plain_words(boot: Boot, tmp_path: Path) -> None:
    """Bound into the command, a path with a blank would remove something else."""
    victim = tmp_path / "my"
    victim.mkdir()
    steps = [("Write", {"file_path": "x/y", "content": ""}), ("Bash", {"command": "rm -r @workdir/x && echo ok"})]
    async with boot(ScriptedLearner(steps)) as system:
        assert (await system.execute(GOAL)).followable
    moved = tmp_path / "my space"
    shutil.move(tmp_path / "space", moved)
    async with boot(workspace=moved) as system:
        outcome = await system.execute(GOAL)
    assert not outcome.success
    assert outcome.steps == 0
    assert outcome.error
    assert "a shell would take it apart" in outcome.error.why
    assert victim.is_dir()


async def test_a_changed_world_stops_the_replay_at_the_right_step(boot: Boot, tmp_path: Path) -> None:
    steps = [
        ("Read", {"file_path": "@workspace/fact.txt"}),
        ("Write", {"file_path": "copy.txt", "content": "a fact\n"}),
    ]
    (tmp_path / "space").mkdir()
    (tmp_path / "space/fact.txt").write_text("a fact\n")
    async with boot(ScriptedLearner(steps)) as system:
        assert (await system.execute(GOAL)).followable
    copy = tmp_path / "space/projects/default/output/copy.txt"
    copy.unlink()
    (tmp_path / "space/fact.txt").write_text("another fact\n")
    async with boot() as system:
        outcome = await system.execute(GOAL)
        [stored] = await traces(system)
    assert outcome.exit_code == 5
    assert outcome.error
    assert "step 1" in outcome.error.what
    assert "another fact" in outcome.error.why
    assert not copy.exists(), "a step after the difference ran"
    assert (stored.uses, stored.successes) == (1, 0)


async def test_files_are_checked_after_the_last_step(boot: Boot, tmp_path: Path) -> None:
    """A command whose output is the same, but whose file is not, does not pass."""
    steps = [("Bash", {"command": "cat @workspace/fact.txt > copy.txt"})]
    (tmp_path / "space").mkdir()
    (tmp_path / "space/fact.txt").write_text("a fact\n")
    async with boot(ScriptedLearner(steps)) as system:
        assert (await system.execute(GOAL)).followable
    (tmp_path / "space/fact.txt").write_text("another fact\n")
    async with boot() as system:
        outcome = await system.execute(GOAL)
    assert outcome.exit_code == 5
    assert outcome.error
    assert outcome.error.what == "After the last step, copy.txt has other contents."


async def test_a_step_that_became_forbidden_is_refused(boot: Boot) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)

    async def guard(call: ToolCall) -> Verdict | None:
        return Verdict.deny("no shell") if call.tool == "Bash" else None

    async def asking(call: ToolCall) -> Verdict | None:
        return Verdict.ask("shell?") if call.tool == "Bash" else None

    async with boot(llmos_pre_tool_use=guard) as system:
        assert (await system.execute(GOAL)).exit_code == 4
    async with boot(llmos_pre_tool_use=asking) as system:
        assert (await system.execute(GOAL)).exit_code == 6


async def test_a_trace_edited_by_hand_is_not_followed_until_verified(boot: Boot) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
        [stored] = await traces(system)
    path = Path(stored.location)
    path.write_text(path.read_text("utf-8").replace("cat hello.txt", "cat ./hello.txt"), "utf-8")
    async with boot() as system:
        refused = await system.execute(GOAL)
        assert not refused.success
        assert refused.error
        assert "changed after it was verified" in refused.error.why
        verified = await system.execute(GOAL, mode="verifier")
        assert verified.success, verified.error
        followed = await system.execute(GOAL)
    assert followed.mode == "FOLLOWER"
    assert followed.trace_version == verified.trace_version != stored.version


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: len(text) // 2], ""),
        (lambda text: text.replace("format: 1", "format: 2"), "format"),
        (lambda text: "", ""),
        (lambda text: "\x00" + text, ""),
    ],
    ids=["cut", "format of the future", "empty", "binary"],
)
async def test_a_damaged_trace_harms_nothing_else(boot: Boot, damage: Any, reason: str) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
        await system.execute("Another goal")
        [stored] = await system.machine.traces.versions((await traces(system))[0].trace_id)
    path = Path(stored.location)
    text = path.read_text("utf-8")
    path.write_text(damage(text), "utf-8")
    async with boot() as system:
        kept = await traces(system)
        assert sorted(s.trace is None for s in kept) == [False, True]
        [broken] = [s for s in kept if s.trace is None]
        assert broken.fault
        assert reason in broken.fault
        goal = parse_trace(text).goal_text
        outcome = await system.execute(goal)
        assert not outcome.success
        assert outcome.steps == 0
        other = GOAL if goal != GOAL else "Another goal"
        assert (await system.execute(other)).mode == "FOLLOWER"


async def test_a_missing_tool_is_named_before_the_first_step(boot: Boot, tmp_path: Path) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
        del system.machine.infos["Bash"]  # type: ignore[attr-defined]
        (tmp_path / "space/projects/default/output/hello.txt").unlink()
        auction = await system.explain(make_task(GOAL))
        outcome = await system.execute(GOAL)
    assert "but tools are not installed that it needs: Bash" in auction.bids["FOLLOWER"].reason
    assert outcome.error
    assert outcome.error.what == "The trace needs tools that are not installed: Bash"
    assert outcome.steps == 0


async def test_a_state_too_large_to_keep_leaves_experience_only(boot: Boot, tmp_path: Path) -> None:
    async with boot(ScriptedLearner()) as system:
        small = system.machine.limits.model_copy(
            update={"start_state": system.machine.limits.start_state.model_copy(update={"max_files": 0})}
        )
        object.__setattr__(system.machine, "limits", small)
        output = tmp_path / "space/projects/default/output"
        output.mkdir(parents=True)
        (output / "there").write_text("before")
        outcome = await system.execute(GOAL)
        [stored] = await traces(system)
    assert outcome.followable is False
    assert "more than 0 files" in (stored.refusal or "")


async def test_a_version_can_be_asked_for(boot: Boot) -> None:
    first, second = ScriptedLearner(), ScriptedLearner((*STEPS, ("Bash", {"command": "echo two"})))
    async with boot(first) as system:
        old = await system.execute(GOAL)
    async with boot(second) as system:
        new = await system.execute(GOAL, mode="learner")
        assert (await system.execute(GOAL)).trace_version == new.trace_version
        assert (await system.execute(GOAL, version=old.trace_version)).trace_version == old.trace_version
        assert len(await traces(system)) == 2


async def test_saving_twice_is_saving_once(boot: Boot) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
        [stored] = await traces(system)
        assert stored.trace
        again = await system.machine.traces.save(stored.trace)
        assert again.version == stored.version
        assert len(await traces(system)) == 1
        for _ in range(2):
            await system.machine.traces.record(stored.trace_id, stored.version, "one run", success=True)
        [stored] = await traces(system)
        assert stored.uses == 1


async def test_each_agents_shell_keeps_its_own_directory(boot: Boot) -> None:
    """In learning and in replay: a trace tells the agents apart."""

    class Delegating(ScriptedLearner):
        async def run(self, task: Task, run: Run) -> Result:
            commands = [(None, "mkdir sub && cd sub"), ("x9", "pwd"), ("x9", "mkdir deep && cd deep"), (None, "pwd")]
            outputs = []
            for number, (agent, command) in enumerate(commands):
                call = ToolCall(id=str(number), tool="Bash", input={"command": command}, agent_id=agent)
                outputs.append((await run.call(call)).output.rpartition("/")[2])
            return Result(success=True, output=" ".join(outputs))

    async with boot(Delegating()) as system:
        learned = await system.execute(GOAL)
        [stored] = await traces(system)
    assert learned.followable, stored.refusal
    assert stored.trace
    assert [step.agent for step in stored.trace.steps] == [None, "agent-1", "agent-1", None]
    assert learned.output.split()[-1] == "sub"
    assert "output" in learned.output.split()
