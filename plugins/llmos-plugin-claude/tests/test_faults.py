"""Every fault of a model or a session through the whole system: how it ends, what it says, what it costs, what is left.

LLMOS_FAULT_ROUNDS says how often in a row each is provoked.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llmos_core import LLMOS, ExitCode, ModelRequest, Outcome, Run, Verdict, hookimpl
from llmos_testkit import Received, Reply, Response, api_error, scripted, text, use
from llmos_testkit.model_server import Handler

from .conftest import InRounds
from .faulty import FIRST, begin, hang, signalling, stall
from .house import KEY, after_one_turn, house, run_in, spent

pytestmark = [pytest.mark.cli, pytest.mark.usefixtures("model_key")]


@dataclass
class Fault:
    """A fault, and how the run must end. ``spent`` False: nothing was, since no model was reached."""

    handler: Handler
    what: str
    why: str = ""
    exit_code: int = ExitCode.FAILED
    spent: bool = True
    claude: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    hooks: Any = None
    requests: int | None = None


def refusing(status: int, kind: str = "api_error") -> Handler:
    return after_one_turn(scripted(lambda _: api_error(status, kind, f"said with {status}")), FIRST)


dear = scripted(lambda _: Reply([use("Bash", command="echo one")], output_tokens=58_000))
"""A first turn that costs nearly all of $60."""


async def drop(received: Received, response: Response) -> None:
    await begin(response)


async def garble(received: Received, response: Response) -> None:
    await begin(response)
    await response.chunk(b"event: content_block_delta\ndata: {this is no JSON\n\n")
    await response.end()


async def page(received: Received, response: Response) -> None:
    await response.start(200, {"content-type": "text/html"})
    await response.chunk(b"<html><body>Sign in to the Wi-Fi</body></html>")
    await response.end()


class Deny:
    """A guard of the model door."""

    @hookimpl
    def llmos_pre_model_request(self, request: ModelRequest, run: Run) -> Verdict | None:
        return Verdict.deny("not on Sundays") if len(request.message["messages"]) > 2 else None


FAULTS = {
    **{
        f"http-{status}": Fault(
            refusing(status), f"The model {said} (HTTP {status}).", f"said with {status}", requests=requests
        )
        for status, said, requests in [
            (400, "refused a request", None),
            (401, "refused a request", 2),
            (403, "refused a request", None),
            (404, "refused a request", None),
            (429, "refused a request", 2),
            (500, "failed to answer", 2),
            (529, "failed to answer", 2),
        ]
    },
    "retried": Fault(
        refusing(500), "The model failed to answer (HTTP 500).", "said with 500", claude={"max_retries": 1}, requests=3
    ),
    "hang": Fault(
        after_one_turn(hang, FIRST),
        "The model did not begin to answer.",
        "Nothing came for 2.5 s.",
        limits={"first_byte_timeout_s": 2.5},
        requests=2,
    ),
    "stall": Fault(
        after_one_turn(stall, FIRST),
        "The model's reply stalled.",
        "nothing came for 2.5 s.",
        limits={"stall_timeout_s": 2.5},
        requests=2,
    ),
    "drop": Fault(after_one_turn(drop, FIRST), "The model's reply could not be used.", "broke off"),
    "garbled": Fault(after_one_turn(garble, FIRST), "The model's reply could not be used."),
    "html": Fault(after_one_turn(page, FIRST), "The model's reply could not be used."),
    "max-turns": Fault(
        scripted(lambda received: [use("Bash", command=f"echo {received.turn}")]),
        "The model did not finish within 2 turns.",
        task={"max_turns": 2},
        requests=2,
    ),
    "empty": Fault(scripted(lambda _: [text("")]), "The model gave no answer."),
    "killed": Fault(signalling(signal.SIGKILL), "The Claude Code CLI failed.", "-9"),
    "terminated": Fault(signalling(signal.SIGTERM), "The Claude Code CLI failed.", "143"),
    "stopped": Fault(
        signalling(signal.SIGSTOP, scripted(lambda _: [text("Done.")])),
        "The Claude Code CLI hung.",
        "It did nothing for 6 s",
        claude={"cli_silence_s": 6},
    ),
    "budget": Fault(
        after_one_turn(hang, dear),
        "The next model request does not fit the limit of the run.",
        exit_code=ExitCode.BUDGET,
        task={"max_cost_usd": 60},
        requests=1,
    ),
    "denied": Fault(
        after_one_turn(hang, FIRST),
        "A model request was refused.",
        "not on Sundays",
        exit_code=ExitCode.DENIED,
        hooks=Deny(),
        requests=1,
    ),
    "timeout": Fault(
        after_one_turn(hang, FIRST),
        "The run passed its deadline.",
        "5 s",
        exit_code=ExitCode.TIMEOUT,
        task={"timeout_s": 5},
    ),
}


async def check(system: LLMOS, outcome: Outcome, fault: Fault) -> None:
    error = outcome.error
    assert error is not None
    assert (error.what, outcome.success, outcome.exit_code) == (fault.what, False, fault.exit_code)
    assert fault.why in error.why
    assert error.why
    assert error.fix
    for line in (error.what, error.why, error.fix):
        assert "\n" not in line
        assert KEY not in line
    assert outcome.output == ""
    assert not outcome.followable
    assert [trace.trace_id async for trace in system.machine.traces.scan() if trace.refusal is None] == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_as_said(name: str, tmp_path: Path, in_rounds: InRounds) -> None:
    fault = FAULTS[name]

    async def once() -> None:
        async with house(
            tmp_path / "space", fault.handler, claude=fault.claude, limits=fault.limits, hooks=fault.hooks
        ) as (system, upstream):
            outcome, events = await run_in(system, **fault.task)
            await check(system, outcome, fault)
            assert outcome.cost_usd == pytest.approx(spent(events))
            assert (outcome.cost_usd > 0) is fault.spent
            if fault.requests is not None:
                assert len(upstream.requests) == fault.requests

    in_rounds(once)
