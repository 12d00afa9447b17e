"""Ways past the doors that are closed: redirects, texts and hooks that bring commands, a limit of an outer run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import ClaudeAgentOptions

from llmos_core import LLMOSError, Task
from llmos_plugin_claude.cortex.reply import _use
from llmos_plugin_claude.models.subscription import login_environment
from llmos_plugin_claude.sdk.bridge import _held
from llmos_plugin_claude.sdk.direct import DirectAccess
from llmos_testkit import Received, Response, scripted, text, turns

from .fakes import FakeRun
from .test_gateway import BODY, message_of, standing
from .test_natives import house, key, native, run_in

__all__ = ["key"]


async def test_a_redirect_is_not_passed_on(workdir: Path) -> None:
    async def elsewhere(received: Received, response: Response) -> None:
        await response.start(307, {"location": "http://127.0.0.1:9/v1/messages"})
        await response.end()

    async with standing(workdir, elsewhere) as (gateway, _, _, client):
        response = await client.post("/v1/messages", content=BODY)
    assert response.status_code == 500
    assert response.headers["x-should-retry"] == "false"
    assert "sends its requests elsewhere" in message_of(response)
    assert isinstance(gateway.refusal, LLMOSError)


@pytest.mark.cli
async def test_a_skill_brings_no_command(tmp_path: Path) -> None:
    skill = tmp_path / "greet"
    skill.mkdir()
    head = "---\nname: greet\ndescription: Greets.\nallowed-tools: Bash\n---\n"
    (skill / "SKILL.md").write_text(f"{head}The body of greet.\n!`touch {tmp_path}/ran`\n")
    claude = {"skills": [str(skill)], "native_tools": ["Bash"]}
    script = turns([native("Skill", skill="llmos:greet", args="hi")], [text("Done.")])
    async with house(tmp_path / "w", scripted(script), claude=claude) as (system, upstream):
        outcome, _ = await run_in(system)
    assert outcome.success, outcome.error
    assert "The body of greet." in upstream.requests[-1].body.decode()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "told",
    [
        {"hookEventName": "PreToolUse", "updatedInput": {"command": "x"}},
        {"hookEventName": "PermissionRequest", "decision": {"behavior": "allow", "updatedInput": {"command": "x"}}},
    ],
)
async def test_a_callers_hook_rewrites_no_native_call(told: dict[str, Any]) -> None:
    async def hook(event: Any, tool_use_id: str | None, context: Any) -> Any:
        return {"hookSpecificOutput": told}

    answer: Any = await _held(hook)({"tool_name": "Bash"}, "use", {"signal": None})  # type: ignore[arg-type, typeddict-item]
    assert "updatedInput" not in json.dumps(answer)
    assert "deny" in json.dumps(answer)


def test_half_a_character_does_not_come_back_into_the_conversation() -> None:
    use = _use({"id": "use", "name": "Echo"}, '{"text": "\\ud800"}')
    assert use.input == {}
    assert use.fault


def test_a_login_has_the_limit_of_all_runs_it_is_within(workdir: Path) -> None:
    run = FakeRun(workdir, task=Task(goal="x", max_cost_usd=0.25))
    options = DirectAccess(run, os.environ, str(workdir)).options(ClaudeAgentOptions())  # type: ignore[arg-type]
    assert options.max_budget_usd == run.left_usd == 0.25


def test_a_login_inherits_no_secret() -> None:
    given = {
        "AWS_SECRET_ACCESS_KEY": "s",
        "HOME": "/home/ada",
        "CLAUDE_CODE_OAUTH_TOKEN": "t",
        "ANTHROPIC_API_KEY": "k",
    }
    emptied = {name for name, value in login_environment(given).items() if value == ""}
    assert emptied == {"AWS_SECRET_ACCESS_KEY", "ANTHROPIC_API_KEY"}
