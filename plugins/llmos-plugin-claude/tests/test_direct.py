"""The second way to a model: the CLI's own login, its own home, no gateway; real SDK, real CLI, scripted model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from claude_agent_sdk import SystemMessage

from llmos_core import ExitCode, ModelRequest, ModelUsed, Notice, Result, SettingsError, Task, UsageError, load_settings
from llmos_plugin_claude.learner import Learner
from llmos_plugin_claude.models.subscription import SubscriptionProvider
from llmos_plugin_claude.sdk.direct import directly
from llmos_plugin_claude.settings import ClaudeSettings
from llmos_testkit import ModelServer, Received, Response, api_error, scripted, serving, text, turns, use
from llmos_testkit.messages import ModelScript

from .fakes import FakeRun

TOKEN = "sk-ant-oat01-not-a-real-token"
TURN_USD = 10 * 2e-6 + 20 * 10e-6
"""The list price of one scripted reply: 10 tokens read, 20 written, by claude-sonnet-5-5."""


class LoginRun(FakeRun):
    """A run with the provider ``subscription``; what is booked is written down."""

    def __init__(self, workdir: Path, **fields: Any) -> None:
        super().__init__(workdir, SubscriptionProvider(ClaudeSettings(login=True)), **fields)
        self.booked: list[ModelUsed] = []

    async def charge(self, used: ModelUsed) -> None:
        self.booked.append(used)


@pytest.fixture
def home(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home, with a login by token and, to be passed over, a key."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", TOKEN)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-of-another-account")
    return path


@asynccontextmanager
async def model(monkeypatch: pytest.MonkeyPatch, script: ModelScript | Any) -> AsyncIterator[ModelServer]:
    handler = script if asyncio.iscoroutinefunction(script) else scripted(script)
    with anyio.fail_after(90):
        async with serving(handler) as upstream:
            monkeypatch.setenv("ANTHROPIC_BASE_URL", upstream.url)
            yield upstream


async def learn(run: LoginRun, **environment: str) -> Result:
    return await Learner({"CLAUDE_CODE_MAX_RETRIES": "0", **environment}).run(run.task, run)


def conversations(home: Path) -> list[Path]:
    return list((home / ".claude" / "projects").glob("*/*.jsonl"))


@pytest.mark.cli
async def test_a_goal_is_solved_with_the_login(home: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = LoginRun(workdir)
    async with model(monkeypatch, turns([use("Echo", text="one")], [text("Done.")])) as upstream:
        result = await learn(run)
    assert result == Result(success=True, output="Done.")
    assert [(call.tool, call.input) for call in run.calls] == [("Echo", {"text": "one"})]
    assert run.asked == []
    assert {request.headers["authorization"] for request in upstream.requests} == {f"Bearer {TOKEN}"}
    assert all("x-api-key" not in request.headers for request in upstream.requests)
    assert len(conversations(home)) == 1
    assert list(workdir.iterdir()) == []
    [used] = run.booked
    assert (used.provider, used.model, used.billing, used.complete) == (
        "subscription",
        "claude-sonnet-5-5",
        "real",
        True,
    )
    assert used.cost_usd == pytest.approx(2 * TURN_USD)
    assert (used.usage.input_tokens, used.usage.output_tokens) == (20, 40)


@pytest.mark.cli
async def test_a_conversation_that_goes_on_books_only_what_is_new(
    home: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with model(monkeypatch, lambda received: [text("Well.")]) as upstream:
        first = LoginRun(workdir)
        assert (await learn(first)).success
        second = LoginRun(workdir, task=Task(goal="And now?", continues=first.id))
        second.id = "run-2"
        assert (await learn(second)).success
    assert upstream.requests[-1].turn == 1
    assert [used.cost_usd for used in (*first.booked, *second.booked)] == pytest.approx([TURN_USD, TURN_USD])
    assert second.booked[0].usage.output_tokens == 20


@pytest.mark.cli
async def test_the_limit_of_the_run_is_passed_by_one_response_only(
    home: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = LoginRun(workdir, task=Task(goal="Echo for ever.", max_cost_usd=1.5 * TURN_USD))
    async with model(monkeypatch, lambda received: [use("Echo", text=str(received.turn))]) as upstream:
        result = await learn(run)
    assert result.error is not None
    assert (result.error.exit_code, result.error.what) == (ExitCode.BUDGET, "The limit of the run is used up.")
    assert sum(used.cost_usd for used in run.booked) == pytest.approx(2 * TURN_USD)
    assert len(upstream.requests) == 2


@pytest.mark.cli
async def test_a_login_that_is_refused_says_what_to_do(
    home: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = LoginRun(workdir)
    async with model(monkeypatch, lambda received: api_error(401, "authentication_error", "OAuth token has expired.")):
        result = await learn(run)
    assert result.error is not None
    assert result.error.what == "The login of the Claude Code CLI does not serve."
    assert "claude auth login" in result.error.fix
    assert TOKEN not in str(result.error)
    assert sum(used.cost_usd for used in run.booked) == 0


@pytest.mark.cli
async def test_without_any_login_nothing_is_asked(home: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAUDE_CODE_OAUTH_TOKEN")
    run = LoginRun(workdir)
    async with model(monkeypatch, turns([text("Hello.")])) as upstream:
        result = await learn(run)
    assert result.error is not None
    assert result.error.what == "The login of the Claude Code CLI does not serve."
    assert upstream.requests == []


@pytest.mark.cli
async def test_a_run_that_is_cancelled_books_what_the_cli_recorded(
    home: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = asyncio.Event()
    replies = scripted(turns([use("Echo", text="one")]))

    async def handler(received: Received, response: Response) -> None:
        if received.method == "POST" and received.turn == 1:
            hangs.set()
            await asyncio.Event().wait()
        await replies(received, response)

    run = LoginRun(workdir)
    async with model(monkeypatch, handler), anyio.create_task_group() as group:
        group.start_soon(learn, run)
        await hangs.wait()
        group.cancel_scope.cancel()
    [used] = run.booked
    assert used.cost_usd == pytest.approx(TURN_USD)
    assert not used.complete


async def test_a_cost_that_the_cli_cannot_tell_any_more_is_said_to_be_unknown(home: Path, workdir: Path) -> None:
    run = LoginRun(workdir)
    async with directly(run) as access:
        await access.heard(SystemMessage(subtype="init", data={"session_id": "killed"}))
    assert "is not known" in run.of(Notice)[0].text
    assert run.booked == []


async def test_a_fault_of_ours_interrupts_the_cli(home: Path, workdir: Path) -> None:
    async with directly(LoginRun(workdir)) as access:
        assert not access.cut.is_set()
        access.refuse(ValueError("broken"))
        access.refuse(UsageError("second"))
        assert access.cut.is_set()
        assert access.refusal is not None
        assert access.refusal.why == "ValueError: broken"


def test_the_provider_is_ready_only_if_the_user_said_so() -> None:
    off, on = SubscriptionProvider(ClaudeSettings(), {}), SubscriptionProvider(ClaudeSettings(login=True), {})
    assert "llmos init --login" in (off.unready() or "")
    assert on.unready() is None
    assert (on.name, on.billing, on.fallback, on.secrets()) == ("subscription", "real", False, ())
    assert "may be passed by one response" in on.notices()[0]
    assert SubscriptionProvider(ClaudeSettings(), {"CLAUDE_CODE_OAUTH_TOKEN": TOKEN}).secrets() == (TOKEN,)


def test_no_single_request_passes_through_it(workdir: Path) -> None:
    provider = SubscriptionProvider(ClaudeSettings(login=True), {})
    request = ModelRequest.parse("r", json.dumps({"model": "m"}).encode())
    with pytest.raises(UsageError, match="answers no single requests"):
        provider.open(request, FakeRun(workdir))


@pytest.mark.parametrize("setting", ["login = true", 'upstream_url = "https://elsewhere.example"'])
def test_a_folder_from_anywhere_can_switch_neither_on(setting: str, tmp_path: Path) -> None:
    from llmos_core import LLMOS

    (tmp_path / "llmos.toml").write_text(f"[plugins.claude]\n{setting}\n")
    with pytest.raises(SettingsError, match="stands in the wrong file"):
        LLMOS(tmp_path / "workspace", settings=load_settings(tmp_path, {}))
