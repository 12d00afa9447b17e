"""What the model is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmos_core import Task, UsageError
from llmos_plugin_claude.prompt import MAX_CLAUDE_MD, SYSTEM_PROMPT, system_prompt, system_text, task_prompt
from llmos_plugin_claude.settings import ClaudeSettings

from .fakes import FakeRun


def told(workdir: Path, task: dict[str, Any] | None = None, **settings: Any) -> str:
    return system_text(FakeRun(workdir, task=Task(goal="x", **(task or {}))), ClaudeSettings(**settings))


def test_a_goal_alone_is_the_whole_message() -> None:
    assert task_prompt(Task(goal="Say hello.\n")) == "Say hello.\n"


def test_inputs_and_constraints_follow_the_goal() -> None:
    task = Task(goal="Greet.", inputs={"name": "Zoë", "times": [1, 2]}, constraints=("Max 5 turns", "Be kind"))
    assert (
        task_prompt(task)
        == """Greet.

## Inputs

```json
{
  "name": "Zoë",
  "times": [
    1,
    2
  ]
}
```

## Constraints

- Max 5 turns
- Be kind"""
    )


def test_the_task_goes_before_the_settings_before_our_own(workdir: Path) -> None:
    assert told(workdir) == SYSTEM_PROMPT
    assert told(workdir, system_prompt="Mine.") == "Mine."
    assert told(workdir, {"system_prompt": "Its."}, system_prompt="preset:claude_code") == "Its."
    assert told(workdir, {"system_prompt": ""}, system_prompt="Mine.") == ""


def test_a_preset_is_followed_by_ours_and_then_by_the_users(workdir: Path) -> None:
    run = FakeRun(workdir, task=Task(goal="x", system_prompt="preset:claude_code\nBe brief.\nBe kind."))
    prompt = system_prompt(run, ClaudeSettings())
    assert (prompt.preset, prompt.text) == ("claude_code", f"{SYSTEM_PROMPT}\n\nBe brief.\nBe kind.")
    with pytest.raises(UsageError, match="claude_code needs the Claude Agent SDK"):
        system_text(run, ClaudeSettings())


@pytest.mark.parametrize("name", ["claude", "", "claude_code and more"])
def test_an_unknown_preset_is_refused(workdir: Path, name: str) -> None:
    with pytest.raises(UsageError, match="There is no system prompt preset"):
        told(workdir, system_prompt=f"preset:{name}")


def test_notes_are_read_only_where_that_is_switched_on(workdir: Path) -> None:
    (workdir / "CLAUDE.md").write_text("Near.")
    (workdir.parent / "CLAUDE.md").write_text("Far.")
    run = FakeRun(workdir)
    run.workspace = workdir.parent
    assert system_text(run, ClaudeSettings()) == SYSTEM_PROMPT
    text = system_text(run, ClaudeSettings(claude_md=True))
    assert text.startswith(SYSTEM_PROMPT)
    assert 0 < text.index("Near.") < text.index("Far.")
    run.workspace = workdir
    assert system_text(run, ClaudeSettings(claude_md=True)).count("Near.") == 1
    (workdir / "CLAUDE.md").unlink()
    assert system_text(run, ClaudeSettings(claude_md=True)) == SYSTEM_PROMPT


@pytest.mark.parametrize("kind", ["large", "outside", "directory", "bytes"])
def test_notes_that_cannot_be_taken_are_one_clear_error(workdir: Path, kind: str) -> None:
    notes = workdir / "CLAUDE.md"
    if kind == "large":
        notes.write_text("x" * (MAX_CLAUDE_MD + 1))
    elif kind == "outside":
        (workdir.parent / "secret").write_text("secret")
        notes.symlink_to(workdir.parent / "secret")
    elif kind == "directory":
        notes.mkdir()
    else:
        notes.write_bytes(b"\xff")
    with pytest.raises(UsageError) as raised:
        told(workdir, claude_md=True)
    assert str(notes) in raised.value.what
    assert raised.value.why


COLD = """
import sys
import llmos_plugin_claude.prompt, llmos_plugin_claude.sdk_client
from llmos_plugin_claude import LLMOSSDKClient
print("claude_agent_sdk" in sys.modules)
from llmos_plugin_claude import agent_spec_to_definition
print("claude_agent_sdk" in sys.modules)
"""


def test_the_names_for_python_import_the_sdk_only_when_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
