"""The pytest plugin where it is merely installed: it costs nothing and harms nothing."""

from __future__ import annotations

import textwrap

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

LIGHT = """
import sys

def test_light():
    heavy = ("llmos_core", "pydantic", "importlib_metadata", "click", "claude_agent_sdk")
    assert not [name for name in sys.modules if name.startswith(heavy)]
    light = {"llmos_testkit", "llmos_testkit.conformance", "llmos_testkit.conformance.options", "llmos_testkit.plugin"}
    assert {name for name in sys.modules if name.startswith("llmos_testkit")} == light
"""

STRICT = [
    "-q",
    "--strict-markers",
    "--strict-config",
    "--import-mode=importlib",
    "-W",
    "error",
    "-p",
    "no:cacheprovider",
]


def test_it_imports_nothing_until_it_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LIGHT)
    pytester.runpytest_subprocess(*STRICT).assert_outcomes(passed=1)


def test_it_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(): pass\ndef test_kit(llmos_system): pass\n")
    result = pytester.runpytest_subprocess("-p", "no:llmos", *STRICT)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'llmos_system' not found*"])


def test_its_fixtures_tell_what_they_are(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines_random(
        [f"{name} -- *" for name in ("llmos_system", "llmos_host", "llmos_cli", "scripted_model", "fake_clock")]
    )


EVERY_FIXTURE = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_all(llmos_system, llmos_host, llmos_cli, plugin_distribution, scripted_model, fake_clock, llmos_home):
    async with llmos_system(on_disk=True):
        pass

@pytest.mark.parametrize("order", ["a", "b"])
def test_again(plugin_distribution, fake_clock, scripted_model, llmos_cli, llmos_host, llmos_system, order):
    assert llmos_host().plugins
"""


def test_all_work_together_with_strict_settings(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(EVERY_FIXTURE)
    pytester.runpytest_subprocess(*STRICT).assert_outcomes(passed=3)


TELLING = {
    "a guard that lets all through": """
        import pytest
        from llmos_core import Verdict
        from llmos_testkit import judge, make_plugin

        @pytest.mark.anyio
        async def test_it(llmos_system):
            async def guard(call):
                return Verdict.{answer}
            assert (await judge(llmos_system(make_plugin(llmos_pre_tool_use=guard)), "Bash")).decision == "deny"
    """,
    "a plugin that is broken": """
        def test_it(plugin_distribution, llmos_host):
            plugin_distribution("llmos-plugin-x", "from llmos_core import hookimpl\\n{source}")
            assert [info.state for info in llmos_host(discover=True).plugins if info.name == "x"] == ["ok"]
    """,
    "a command that fails": """
        def test_it(llmos_cli):
            assert llmos_cli("{command}").returncode == 0
    """,
    "a model that is asked too often": """
        import json, urllib.request

        def test_it(scripted_model):
            scripted_model.replies("one")
            for answers in range({times}):
                messages = [{{"role": "assistant", "content": ""}}] * answers
                body = json.dumps({{"model": "m", "messages": messages}}).encode()
                try:
                    urllib.request.urlopen(scripted_model.url + "/v1/messages", body).close()
                except urllib.error.HTTPError as error:
                    error.close()
    """,
}
GOOD_AND_BAD = {
    "a guard that lets all through": ("answer", 'deny("no")', "allow()"),
    "a plugin that is broken": (
        "source",
        "@hookimpl\\ndef llmos_event(event): ...",
        "@hookimpl\\ndef llmos_evnt(): ...",
    ),
    "a command that fails": ("command", "--version", "--vision"),
    "a model that is asked too often": ("times", "1", "2"),
}


@pytest.mark.parametrize("what", TELLING)
def test_what_is_wrong_is_told(pytester: pytest.Pytester, what: str) -> None:
    field, good, bad = GOOD_AND_BAD[what]
    source = "import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n" + textwrap.dedent(TELLING[what])
    pytester.makepyfile(test_good=source.format(**{field: good}), test_bad=source.format(**{field: bad}))
    result = pytester.runpytest_subprocess(*STRICT)
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) + outcomes.get("errors", outcomes.get("error", 0)) == 1
    if what == "a model that is asked too often":
        result.stdout.fnmatch_lines(["*the script has 1 replies for the main agent, which asks for one more*"])
