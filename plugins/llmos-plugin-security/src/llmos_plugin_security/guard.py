"""The guard within a run."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from anyio import to_thread

from llmos_core import Run, ToolCall, Verdict
from llmos_plugin_security.judge import Judge
from llmos_plugin_security.places import World
from llmos_plugin_security.rules import Rule
from llmos_plugin_security.settings import SecuritySettings, UserRule


@cache
def own_directories() -> tuple[str, ...]:
    """Where LLM OS keeps the user's settings, data and cache."""
    import platformdirs

    paths = (
        platformdirs.user_config_path,
        platformdirs.user_data_path,
        platformdirs.user_cache_path,
        platformdirs.user_state_path,
    )
    return tuple(os.path.realpath(path("llmos")) for path in paths)


def judge_for(settings: SecuritySettings, root: Path, workspace: Path | None, home: Path | None = None) -> Judge:
    """The judge of a working directory."""
    home = home or Path.home()
    world = World(
        root=str(root.absolute()),
        home=str(home),
        workspace=None if workspace is None else str(workspace.absolute()),
        own=own_directories(),
        write=tuple(_place(given, home) for given in settings.write),
    )
    return Judge(world, tuple(map(_rule, settings.rules)))


def _place(given: str, home: Path) -> str:
    """A place of the settings. Links in it are not followed: a command may have made one."""
    return os.path.normpath(os.path.join(os.path.realpath(home), given[2:]) if given.startswith("~") else given)  # noqa: PTH118


def _rule(given: UserRule) -> Rule:
    return Rule(
        id=f"settings-{given.id}",
        what=given.why or f"the settings say {given.verdict}",
        severity=given.verdict,
        kind="user",
        command=(given.command,),
        words=given.words,
        any=given.options,
        args=given.args,
        even_denied=given.even_denied,
    )


async def verdict_of(call: ToolCall, run: Run) -> Verdict | None:
    """The guard's word on a call; None where nothing speaks against it."""
    judge = judge_for(run.settings(SecuritySettings), run.workdir, run.workspace)
    judgement = await to_thread.run_sync(judge.judge, call.tool, call.input, abandon_on_cancel=True)
    if judgement.verdict == "allow":
        return None
    if judgement.verdict == "ask":
        return Verdict.ask(judgement.reason, rule=judgement.rule)
    return Verdict.deny(judgement.reason, rule=judgement.rule)
