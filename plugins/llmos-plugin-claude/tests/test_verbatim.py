"""A prompt reaches the model as it was given: no command of the CLI is taken from it, and no file that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmos_core import AgentSpec, Task
from llmos_plugin_claude.learner import Learner
from llmos_plugin_claude.models.anthropic import AnthropicProvider
from llmos_testkit import Received, scripted, serving, text, turns, use

from .fakes import FakeRun
from .house import KEY

pytestmark = [pytest.mark.cli, pytest.mark.usefixtures("temporary")]

PROMPTS = (
    "/help",
    "/clear and begin anew",
    "/compact",
    "@note.txt",
    "Sum up @FOLDER/note.txt and @./note.txt, please.",
    "!touch FOLDER/marker",
    "! touch FOLDER/marker",
    "#remember that I am Ada",
    "  /cost\n@note.txt\n!touch marker\n",
)
HELPER = AgentSpec(name="helper", description="Helps.", system_prompt="You help.")
SECRET = "the text of the note"


def said(received: Received) -> list[str]:
    """The texts of the user in a conversation."""
    contents = [entry["content"] for entry in received.message["messages"] if entry["role"] == "user"]
    blocks = [[{"type": "text", "text": content}] if isinstance(content, str) else content for content in contents]
    return [block["text"] for content in blocks for block in content if block["type"] == "text"]


async def learn(workdir: Path, script: Any, goal: str, **fields: Any) -> list[Received]:
    """What the model received, to which nothing was added that the prompt names, or would have done."""
    (workdir / "note.txt").write_text(SECRET)
    async with serving(scripted(script)) as upstream:
        model = AnthropicProvider({"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": upstream.url})
        run = FakeRun(workdir, model, task=Task(goal=goal), **fields)
        result = await Learner().run(run.task, run)  # type: ignore[arg-type]
    assert result.output == "Done.", result.error
    requests = [received for received in upstream.requests if received.method == "POST"]
    assert not [received for received in requests if SECRET in received.body.decode()]
    assert [path.name for path in workdir.rglob("*")] == ["note.txt"]
    return requests


@pytest.mark.parametrize("prompt", PROMPTS)
async def test_a_goal_is_taken_at_its_word(workdir: Path, prompt: str) -> None:
    goal = Task(goal=prompt.replace("FOLDER", str(workdir))).goal
    [request] = await learn(workdir, turns([text("Done.")]), goal)
    assert goal in said(request)


async def test_what_an_agent_is_asked_is_taken_at_its_word(workdir: Path) -> None:
    prompts = [prompt.replace("FOLDER", str(workdir)) for prompt in PROMPTS]
    calls = [use("Agent", description="d", prompt=prompt, subagent_type="helper") for prompt in prompts]
    script = turns(calls, [text("Done.")], agent=[[text("Helped.")]])
    requests = await learn(workdir, script, "Delegate.", agents={"helper": HELPER})
    for prompt in prompts:
        assert prompt in [words for request in requests if request.agent_id for words in said(request)]
