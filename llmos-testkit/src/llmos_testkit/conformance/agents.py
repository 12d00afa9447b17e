"""What every agent keeps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmos_core import AgentSpec
from llmos_testkit.conformance.base import Conformance
from llmos_testkit.conformance.stage import stage, without
from llmos_testkit.systems import make_plugin

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LONGEST_DESCRIPTION = 1_024


class AgentConformance(Conformance):
    """Checks of an agent: a spec, or the path of a Markdown file. Give it as the fixture ``agent``."""

    @pytest.fixture
    def agent(self) -> AgentSpec | Path:
        """The agent under test."""
        raise NotImplementedError("give the agent: override the fixture `agent`")

    async def test_the_system_takes_it(self, agent: AgentSpec | Path, place: Path) -> None:
        assert await self._taken(agent, place), f"the system does not take the agent {agent}"

    async def test_name_can_be_called_by_a_model(self, agent: AgentSpec | Path, place: Path) -> None:
        for spec in await self._taken(agent, place):
            assert _NAME.fullmatch(spec.name), f"{spec.name!r}: letters, digits, _ and - only, at most 64"

    async def test_description_tells_a_model_when_to_ask_it(self, agent: AgentSpec | Path, place: Path) -> None:
        for spec in await self._taken(agent, place):
            text = spec.description.strip()
            assert text, "the description is empty"
            assert len(text) <= _LONGEST_DESCRIPTION, f"the description has {len(text)} characters: say it shorter"

    async def test_it_is_told_what_to_do(self, agent: AgentSpec | Path, place: Path) -> None:
        for spec in await self._taken(agent, place):
            assert spec.system_prompt.strip(), "its system prompt is empty"

    async def test_its_tools_are_named_as_the_kernel_names_them(self, agent: AgentSpec | Path, place: Path) -> None:
        for spec in await self._taken(agent, place):
            odd = [name for name in spec.tools or () if not _NAME.fullmatch(name) or name.startswith("mcp__")]
            assert not odd, f"these are no names of kernel tools: {', '.join(map(repr, odd))}"

    async def test_its_tools_are_named_once(self, agent: AgentSpec | Path, place: Path) -> None:
        for spec in await self._taken(agent, place):
            tools = spec.tools or ()
            assert len(set(tools)) == len(tools), f"named twice: {', '.join(tools)}"

    async def _taken(self, agent: AgentSpec | Path, place: Path) -> list[AgentSpec]:
        """The agent as a run knows it: none where the system refused it."""
        others: dict[str, object] = {n: without(p, "llmos_agents") for n, p in self.plugins.items()}
        async with stage(place, {**others, "agent-under-test": make_plugin(agents=[agent])}) as run:
            return list(run.agents.values())
