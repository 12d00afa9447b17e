"""With a key the model is the real one (here: a server on loopback), and the key stays where it belongs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos_testkit import Reply, ScriptedModel, api_error, use
from tests.cli_fixtures import Llmos, own_settings

pytestmark = pytest.mark.cli

KEY = "sk-ant-test-0123456789-very-secret"
GOAL = "Look around"
LOOK = "env | sort; cat /proc/$(pgrep -n -x claude)/environ 2>/dev/null | tr '\\0' '\\n'"


@pytest.fixture
def upstream(scripted_model: ScriptedModel) -> ScriptedModel:
    """A model on loopback that looks around."""
    looks = use("Bash", command=f"({LOOK}) > seen.txt; echo looked")
    scripted_model.replies(Reply([looks], input_tokens=100), Reply("I looked around.", input_tokens=100))
    return scripted_model


def test_the_key_reaches_the_model_and_nothing_else(llmos: Llmos, home: Path, upstream: ScriptedModel) -> None:
    """Also where the user took the walls away that keep a command from looking."""
    own_settings(home).write_text('disabled_plugins = ["security"]\n[plugins.tools.sandbox]\nkind = "none"\n')
    given = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": upstream.url, "GITHUB_TOKEN": "ghp-also-secret"}
    done = llmos("run", "--json", GOAL, **given)
    assert done.returncode == 0, done.stderr.decode()
    outcome = json.loads(done.stdout)
    assert outcome["output"] == "I looked around."
    assert outcome["billing"] == "real"
    assert outcome["cost_usd"] == 0, "a model on this machine costs nothing unless it is priced"
    assert [request.headers["x-api-key"] for request in upstream.requests] == [KEY, KEY]

    seen = (home / "workspace/projects/default/output/seen.txt").read_text()
    assert "PATH=" in seen
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1" in seen, "the environment of the CLI itself was not seen"
    secrets = (KEY, "ghp-also-secret")
    assert not any(secret in seen for secret in secrets)
    for path in home.rglob("*"):
        if path.is_file():
            assert not any(secret.encode() in path.read_bytes() for secret in secrets), path
    assert not any(secret in (done.stdout + done.stderr).decode() for secret in secrets)


def test_a_model_is_billed_at_its_own_price(llmos: Llmos, home: Path, upstream: ScriptedModel) -> None:
    own_settings(home).write_text('[prices."my-model"]\ninput = 10.0\noutput = 100.0\n')
    given = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": upstream.url}
    done = llmos("run", "--json", "--model", "my-model", GOAL, **given)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["cost_usd"] == pytest.approx(2 * (100 * 10 + 20 * 100) / 1e6)


def test_a_wrong_key_is_one_clear_error(llmos: Llmos, home: Path, scripted_model: ScriptedModel) -> None:
    refused = api_error(401, "authentication_error", "invalid x-api-key")
    scripted_model.script = lambda _: refused
    done = llmos("run", GOAL, ANTHROPIC_API_KEY="sk-wrong", ANTHROPIC_BASE_URL=scripted_model.url)
    assert done.returncode == 1
    text = done.stderr.decode()
    assert "invalid x-api-key" in text
    assert "sk-wrong" not in text
    assert not list((home / "workspace/memories").rglob("*.md"))
