"""Every example of the README is a test file that passes, and every name of the kit stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import llmos_testkit

pytest_plugins = ["pytester"]

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
FIXTURES = [
    "llmos_home",
    "llmos_system",
    "llmos_host",
    "llmos_cli",
    "plugin_distribution",
    "scripted_model",
    "fake_clock",
]
CONFIG = """
[pytest]
anyio_mode = auto
markers = cli: starts the real Claude Code CLI
filterwarnings = error
"""


def first_test(example: str) -> str:
    return re.findall(r"def (test_\w+)", example)[0]


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(
            example, id=first_test(example), marks=pytest.mark.cli if "mark.cli" in example else pytest.mark.slow
        )
        for example in EXAMPLES
    ],
)
def test_an_example_passes(pytester: pytest.Pytester, example: str) -> None:
    pytester.makeini(CONFIG)
    pytester.makepyfile(example)
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] >= example.count("def test_")


@pytest.mark.parametrize("name", [*llmos_testkit.__all__, *FIXTURES])
def test_the_kit_is_documented(name: str) -> None:
    assert re.search(rf"\b{name}\b", README)
