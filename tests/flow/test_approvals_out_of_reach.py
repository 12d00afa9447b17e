"""What was approved lies where no tool writes: each of them tries, for the main agent and for a sub-agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmos_core import Run, ToolCall
from tests.flow.conftest import Boot
from tests.parts import Script

pytestmark = pytest.mark.slow

NAME = "project-0123456789abcdef.json"
ATTEMPTS: list[tuple[str, dict[str, Any]]] = [
    ("Write", {"file_path": "@place/new.json", "content": "{}"}),
    ("Write", {"file_path": f"@place/{NAME}", "content": "{}"}),
    ("Write", {"file_path": f"../../../state/approvals/{NAME}", "content": "{}"}),
    ("Write", {"file_path": f"link/{NAME}", "content": "{}"}),
    ("Edit", {"file_path": f"@place/{NAME}", "old_string": "false", "new_string": "true"}),
    ("Edit", {"file_path": f"link/{NAME}", "old_string": "false", "new_string": "true"}),
    ("Bash", {"command": "ln -s @place link"}),
    ("Bash", {"command": f"echo x > @place/{NAME}"}),
    ("Bash", {"command": f"echo x >> link/{NAME}"}),
    ("Bash", {"command": f"rm -f @place/{NAME}"}),
    ("Bash", {"command": "rm -rf @place; mv @place ."}),
    ("Bash", {"command": f"ln @place/{NAME} hard && echo x > hard"}),
    ("Bash", {"command": f"chmod 666 @place/{NAME}; touch @place/new.json"}),
    ("Bash", {"command": f"python3 -c \"open('@place/{NAME}', 'w').write('x')\""}),
    ("Grep", {"pattern": "allowed", "path": "@place"}),
    ("Glob", {"pattern": "@place/*"}),
    ("Read", {"file_path": f"@place/{NAME}"}),
]


@pytest.mark.parametrize("agent", [None, "agent-1"], ids=["main", "sub-agent"])
async def test_no_tool_changes_an_approval(boot: Boot, tmp_path: Path, agent: str | None) -> None:
    place = tmp_path / "space/state/approvals"
    place.mkdir(parents=True)
    (place / NAME).write_text(json.dumps({"allowed": False}))
    (place / NAME).chmod(0o600)
    before = _seen(place)
    left: list[dict[str, tuple[int, bytes]]] = []

    async def act(run: Run) -> None:
        for again in range(2):  # the second time, the link is there
            for number, (tool, given) in enumerate(ATTEMPTS):
                meant = {name: text.replace("@place", str(place)) for name, text in given.items()}
                await run.call(ToolCall(id=f"c{again}-{number}", tool=tool, input=meant, agent_id=agent))
                left.append(_seen(place))

    async with boot(Script(act)) as system:
        outcome = await system.execute("Approve yourself", mode="SCRIPT")
    assert outcome.success, outcome.error
    for attempt, found in zip(ATTEMPTS * 2, left, strict=True):
        assert found == before, attempt


def _seen(place: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mode, path.read_bytes()) for path in place.iterdir()}
