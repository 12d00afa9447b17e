"""``llmos init``: what it writes, what it refuses, and that nothing is half done."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from llmos_plugin_claude.setup.probe import find_servers
from llmos_testkit import ScriptedModel

from .init_parts import (
    KEY,
    WRONG_KEY,
    Init,
    closed_port,
    config,
    environment,
    home,
    init,
    model,
    nothing_written,
    server,
    settings,
)

__all__ = ["config", "environment", "home", "init", "model", "server"]


@pytest.fixture(autouse=True)
def _own_data() -> None:
    """The whole home is of the test here: nothing need be put elsewhere."""


def test_a_piped_key_is_stored_where_nobody_else_reads_it(init: Init, home: Path, config: Path) -> None:
    done = init("--key-stdin", stdin=f"{KEY}\n")
    assert done.returncode == 0, done.stderr
    stored = config.with_name("credentials.toml")
    assert tomllib.loads(stored.read_text()) == {"anthropic": {"api_key": KEY}}
    assert stored.stat().st_mode & 0o777 == 0o600
    assert settings(config) == {"model": {"provider": "anthropic"}}
    assert KEY not in done.stdout + done.stderr
    assert (home / ".local/share/llmos/workspace/memories").is_dir()
    assert "Next: llmos run" in done.stdout


@pytest.mark.parametrize(
    ("stdin", "what"),
    [
        ("", "No key was given."),
        ("sk-proj-of-someone-else-0123456789", "This is no API key."),
        ("sk-ant-oat01-0123456789-0123456789", "This is no API key."),
        (f"{KEY} {KEY}", "The key holds a character that no key has."),
    ],
)
def test_what_is_no_key_is_refused(stdin: str, what: str, init: Init, home: Path) -> None:
    done = init("--key-stdin", stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr
    assert not stdin or stdin not in done.stderr
    assert nothing_written(home)


def test_without_a_terminal_it_must_be_told(init: Init, home: Path) -> None:
    done = init()
    assert done.returncode == 2
    for option in ("--key-stdin", "--login", "--local URL", "--rehearsal", "--workspace DIR", "--yes"):
        assert option in done.stderr
    assert nothing_written(home)


def test_one_way_at_a_time(init: Init, home: Path) -> None:
    done = init("--rehearsal", "--login")
    assert done.returncode == 2
    assert "in one way only" in done.stderr
    assert nothing_written(home)


def test_a_second_time_changes_only_what_is_asked(init: Init, config: Path, tmp_path: Path) -> None:
    config.parent.mkdir(parents=True)
    before = "# My settings.\n[limits]\nstall_timeout_s = 60 # short\n\n[plugins.claude]\nmax_turns = 7\n"
    config.write_text(before)
    config.chmod(0o600)
    assert init("--rehearsal", "--workspace", str(tmp_path / "mine")).returncode == 0
    after = config.read_text()
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []
    assert settings(config)["model"] == {"provider": "rehearsal"}
    assert settings(config)["workspace"] == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "state").is_dir()
    assert config.stat().st_mode & 0o777 == 0o600
    done = init("--yes")
    assert done.returncode == 0
    assert config.read_text() == after
    assert str(tmp_path / "mine") in done.stdout
    assert "Changed" not in done.stdout


def test_a_local_model_and_back(init: Init, config: Path, server: str, model: ScriptedModel) -> None:
    done = init("--local", f"{server}/v1/", "--model", "gpt-oss", "--check")
    assert done.returncode == 0, done.stderr
    local = {"base_url": server, "model": "gpt-oss"}
    assert settings(config) == {"model": {"provider": "anthropic"}, "plugins": {"claude": local}}
    assert "It answers. Cost: $0" in done.stdout
    assert f"The model is served by {server.removeprefix('http://')}." in done.stdout
    assert ["x-api-key" in request.headers for request in model.requests] == [False]
    assert init("--key-stdin", stdin=KEY).returncode == 0
    assert settings(config) == {"model": {"provider": "anthropic"}, "plugins": {"claude": {}}}


def test_the_only_model_of_a_server_needs_no_name(init: Init, config: Path, server: str, model: ScriptedModel) -> None:
    model.models[:] = ["the-only-one"]
    assert init("--local", server).returncode == 0
    assert settings(config)["plugins"]["claude"]["model"] == "the-only-one"


def test_of_several_models_one_must_be_named(init: Init, home: Path, server: str) -> None:
    done = init("--local", server)
    assert done.returncode == 2
    assert "The server has: qwen3-coder, gpt-oss." in done.stderr
    assert nothing_written(home)


def test_a_server_may_be_started_later_if_its_model_is_named(init: Init, config: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    nameless = init("--local", url)
    assert nameless.returncode == 2
    assert f"No server answers at {url}." in nameless.stderr
    assert not config.exists()
    done = init("--local", url, "--model", "qwen3")
    assert done.returncode == 0
    assert f"No server answers at {url}." in done.stderr
    assert settings(config)["plugins"]["claude"] == {"base_url": url, "model": "qwen3"}


@pytest.mark.parametrize("url", ["localhost:11434", "https://example.com", "http://192.168.0.2:8000", "ftp://x", ""])
def test_only_an_address_of_this_machine_is_local(url: str, init: Init, home: Path) -> None:
    done = init("--local", url, "--model", "m")
    assert done.returncode == 2
    assert "is no address on this machine" in done.stderr
    assert nothing_written(home)


def test_a_key_that_the_model_refuses_is_not_stored(init: Init, home: Path, server: str, model: ScriptedModel) -> None:
    model.script = lambda _: WRONG_KEY
    done = init("--key-stdin", "--check", stdin=KEY, ANTHROPIC_BASE_URL=server)
    assert done.returncode == 1
    assert "invalid x-api-key" in done.stderr
    assert "at list price less than $0.001" in done.stdout
    assert [request.headers["x-api-key"] for request in model.requests] == [KEY]
    assert nothing_written(home)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("config.toml", "[model\n", "cannot be read"),
        ("config.toml", "[plugins.claude]\nmodle = 1\n", "modle"),
        ("credentials.toml", "[anthropic\n", "is broken"),
    ],
)
def test_broken_files_are_told_and_left_alone(
    file: str, text: str, told: str, init: Init, home: Path, config: Path
) -> None:
    config.parent.mkdir(parents=True)
    (config.parent / file).write_text(text)
    done = init("--key-stdin", stdin=KEY)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert [(path.name, path.read_text()) for path in config.parent.iterdir()] == [(file, text)]


def test_a_workspace_that_cannot_be_made_leaves_all_as_it_was(init: Init, home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = init("--key-stdin", "--workspace", str(tmp_path / "file"), stdin=KEY)
    assert done.returncode == 2
    assert "is not a directory" in done.stderr
    assert nothing_written(home)


def test_what_goes_before_the_settings_is_said(init: Init, home: Path) -> None:
    done = init("--rehearsal", ANTHROPIC_API_KEY=KEY, LLMOS_PROVIDER="anthropic")
    assert done.returncode == 0
    assert "LLMOS_PROVIDER goes before it, and chooses: anthropic" in done.stderr


@pytest.mark.cli
def test_a_login_says_what_it_weakens(init: Init, config: Path) -> None:
    done = init("--login")
    assert done.returncode == 0, done.stderr
    assert settings(config) == {"model": {"provider": "subscription"}, "plugins": {"claude": {"login": True}}}
    for word in ("passed by one response", "the CLI's word", "past the gateway", "your own home"):
        assert word in done.stdout
    assert "the CLI is not logged in" in done.stderr
    assert "not logged in" not in init("--login", CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-dummy").stderr
    assert init("--rehearsal").returncode == 0
    assert settings(config) == {"model": {"provider": "rehearsal"}, "plugins": {"claude": {}}}


async def test_the_usual_ports_are_looked_at(server: str) -> None:
    port = int(server.rpartition(":")[2])
    [found] = await find_servers({closed_port(): "Nobody", port: "Someone"})
    assert (found.url, found.name, found.models) == (server, "Someone", ("qwen3-coder", "gpt-oss"))
