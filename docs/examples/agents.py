"""Two agents: one written here, one as a Markdown file that lies beside this module.

The second form is the one to prefer: a Markdown agent can be read and changed by people who write no Python, and the
same file works in the ``agents/`` folder of a workspace.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llmos_core import AgentSpec, hookimpl


@hookimpl
def llmos_agents() -> Iterable[AgentSpec | Path]:
    counter = AgentSpec(
        name="counter",
        description="Counts things in files. Give it the names of the files.",
        system_prompt="You count what you are asked to count, and answer with the number alone.",
        tools=("Read", "Grep"),
    )
    return [counter, Path(__file__).parent / "agents" / "reviewer.md"]
