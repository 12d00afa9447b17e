"""The page "From the seed to the house" is run: its code does what it says, through the real SDK and CLI."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli_fixtures import environment, home
from tests.test_docs import ROOT, blocks

__all__ = ["environment", "home"]

PAGE = ROOT / "docs/from-the-seed.md"
SEED = (
    'project = os.create_project("data_analysis", "Analyze customer data")',
    'result = await os.execute(\n    "Analyze sales trends",\n    project_name="data_analysis"\n)',
    "agents_dict = {\n    agent.name: agent_spec_to_definition(agent)\n    for agent in all_agents\n}",
    'if hasattr(event, \'content\'):\n        print(".", end="", flush=True)',
    'goal="Write a long document",\n    enable_streaming=True,\n    streaming_callback=on_stream\n)',
)
"""Lines of the seed that run as they stand."""

LESSONS = {
    "sales": """
name: sales
goal: Analyze sales trends
about: Adds figures up.
example: Analyze sales trends
turns:
  - tools:
      - Bash: {command: "printf '1\\n2\\n' > sales.txt; awk '{s += $1} END {print s}' sales.txt"}
  - text: "In all: {{results.1}}"
""",
    "document": """
name: document
goal: Write a long document
about: Writes.
example: Write a long document
turns:
  - text: I shall write a document of some length, and you will see it come.
    tools:
      - Write: {file_path: document.md, content: "# A document\\n"}
  - text: The document is written, and it was not so long after all.
""",
}
RUNNER = """
import ast, asyncio, inspect, sys
code = compile(sys.stdin.read(), "from-the-seed.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
async def main():
    result = eval(code, {"__name__": "page"})
    if inspect.isawaitable(result):
        await result
asyncio.run(main())
"""


@pytest.mark.cli
def test_the_page_runs(home: Path, environment: Mapping[str, str]) -> None:
    (home / "workspace/lessons").mkdir()
    for name, lesson in LESSONS.items():
        (home / f"workspace/lessons/{name}.yaml").write_text(lesson)
    code = "\n".join(block.text for block in blocks(PAGE.read_text("utf-8")) if block.info == "run")
    variables = {**environment, "LLMOS_PROVIDER": "rehearsal"}
    command = [sys.executable, "-W", "error", "-c", RUNNER]
    done = subprocess.run(
        command, input=code, cwd=home, env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Learner: Analyze sales trends" in done.stdout
    assert "...." in done.stdout


@pytest.mark.parametrize("lines", SEED)
def test_the_seeds_own_lines_are_on_the_page(lines: str) -> None:
    assert any(lines in block.text for block in blocks(PAGE.read_text("utf-8")) if block.info == "run")
