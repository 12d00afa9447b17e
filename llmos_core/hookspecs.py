"""Every extension point of LLM OS, on one page.

A plugin is a module named by an entry point in the group ``llmos.plugins``. It implements any of these with
``@hookimpl`` and takes only the arguments it needs. Contributions are collected once, at boot. Run-time hooks are
called by the kernel: guards all run and the strictest verdict wins, approvers are asked until one answers, observers
all run in isolation, transforms form a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
from pydantic import BaseModel

from llmos_core.events import Event
from llmos_core.records import AgentSpec, Check, Outcome, ToolCall, ToolResult, Verdict

if TYPE_CHECKING:
    from llmos_core.contracts import Ledger, Matcher, MemoryBackend, ModelProvider, ModelRequest, Strategy, Tool
    from llmos_core.events import ModelUsed
    from llmos_core.run import Run

SettingsOf = Callable[[type[Any]], Any]
"""What contribution hooks are given: of a settings model it gives the instance that was read and validated."""

hookspec = pluggy.HookspecMarker("llmos")
hookimpl = pluggy.HookimplMarker("llmos")


# Contributions: collected once, at boot, by plain functions. ``settings(kind)`` gives the settings contributed as that
# model, validated.


@hookspec
def llmos_tools(settings: SettingsOf) -> Iterable[Tool]:  # type: ignore[empty-body]
    """Tools that the kernel can run, for models, traces and strategies alike.

    Each name is offered to models as it stands. A name that two plugins contribute is in nobody's hand until the
    settings choose: ``[choose] tools.NAME = "DISTRIBUTION"``. Every call passes the guards and the journal before it
    reaches ``run``, whoever makes it.
    """


@hookspec
def llmos_agents(settings: SettingsOf) -> Iterable[AgentSpec | Path]:  # type: ignore[empty-body]
    """Agents that a Learner may delegate to: specs, or paths of Markdown agents.

    A Markdown agent has ``description`` and, if you like, ``name``, ``tools``, ``model``, ``category``,
    ``capabilities`` and ``constraints`` in its front matter; its text is the system prompt. One in the workspace's
    ``agents/`` takes the place of a contributed one of the same name.
    """


@hookspec
def llmos_memory_backends(settings: SettingsOf) -> Iterable[MemoryBackend]:  # type: ignore[empty-body]
    """Places where traces and notes are kept.

    A system uses one backend: the one that the setting ``memory`` names, else the first by name. Its stores are made
    once, at boot, for the workspace's ``memories/`` directory; a system without a workspace keeps all in memory.
    """


@hookspec
def llmos_strategies(settings: SettingsOf) -> Iterable[Strategy]:  # type: ignore[empty-body]
    """Ways of running a task. They bid for it, and the cheapest that is fit enough (more than 0.9) runs.

    The name of a strategy is its mode: with ``--mode NAME`` it alone may bid. A bid is made before anything happens,
    so it changes nothing. A fit of 0 means that it cannot act, and so does a bid that raises; the reason is told. If
    none is fit enough, the fittest that can act runs, and says so.
    """


@hookspec
def llmos_matchers(settings: SettingsOf) -> Iterable[Matcher]:  # type: ignore[empty-body]
    """Proposers of candidate traces for a goal.

    The Follower asks all of them, takes the first candidate that is not refused, and bids with its score. A matcher
    may find a trace by any means. That it looks similar is no reason to follow it: refuse what does not account for
    every value and constraint of the goal.
    """


@hookspec
def llmos_models(settings: SettingsOf) -> Iterable[ModelProvider]:  # type: ignore[empty-body]
    """Providers that answer requests of the Messages API.

    The one that ``[model] provider`` names is used, else the first that is ready. All requests of a run, those of its
    sub-agents too, reach it through the model door: guards judge, money is held, tokens are counted as the reply
    streams by.
    """


@hookspec
def llmos_native_tools(settings: SettingsOf) -> Iterable[str]:  # type: ignore[empty-body]
    """Names of tools that a strategy has outside the kernel, such as those of a program that it drives.

    The kernel does not run them. It only learns their names, so that constraints may speak of them (``No WebSearch``)
    and a wrong name is an error. Several plugins may give the same name.
    """


@hookspec
def llmos_ledgers(settings: SettingsOf) -> Iterable[Ledger]:  # type: ignore[empty-body]
    """Holders of money. Before each model request the ledger sets aside what it may cost at worst; after it, what it
    did cost is booked.

    It refuses a request by raising BudgetError. Without a ledger every request is admitted, and spending is only
    reported. The limit of a single run (``--max-cost``) holds in any case.
    """


@hookspec
def llmos_settings() -> type[BaseModel]:  # type: ignore[empty-body]
    """The plugin's settings, as a pydantic model; its values are read from ``[plugins.NAME]``, variables and flags.

    Give every field a default, or the plugin is ``broken`` until its user has set it, and forbid unknown keys. Mark a
    field that could start a program with ``json_schema_extra=OWN``: it may stand in the user's own file only. Use
    pydantic's ``SecretStr`` for what must never be shown.
    """


@hookspec
def llmos_checks(settings: SettingsOf) -> Iterable[Check]:  # type: ignore[empty-body]
    """What ``llmos doctor`` should know of this machine: whether what the plugin needs is there, and works.

    It is called by ``doctor`` alone, so it may take a moment, and may try things out; it changes nothing that stays.
    """


# Run-time hooks: called by the kernel during a run.

RUN_TIME = (
    "llmos_user_prompt_submit",
    "llmos_pre_tool_use",
    "llmos_approve",
    "llmos_post_tool_use",
    "llmos_pre_model_request",
    "llmos_post_model_response",
    "llmos_stop",
    "llmos_event",
)


@hookspec
def llmos_user_prompt_submit(prompt: str, run: Run) -> str | None:
    """Transform: the prompt before a model sees it; may return another, for example with remembered context.

    The hooks of all plugins form a chain, each given what the one before it returned; None changes nothing. A hook
    that raises, hangs or returns no text is reported and left out.
    """


@hookspec
def llmos_pre_tool_use(call: ToolCall, run: Run) -> Verdict | None:
    """Guard: judge a tool call before it runs. Every call passes here, of models, traces and strategies.

    Answer ``Verdict.allow()``, ``Verdict.ask(reason)``, ``Verdict.deny(reason)``, or None to say nothing. All guards
    are asked, and the strictest verdict wins. A call that needs asking goes to the approvers (``llmos_approve``). A
    guard that raises, hangs or answers nonsense means deny. A guard changes nothing: the call it sees is a copy. It may
    be asked about a call more than once, and before the steps that come first have run.
    """


@hookspec
def llmos_approve(call: ToolCall, verdict: Verdict, run: Run) -> bool | None:
    """Approver: answer for a person where the strictest ``verdict`` of the guards is Ask.

    True lets this very call run, False refuses it, None leaves the answer to the next. The approvers are asked one
    after the other, and the first answer counts; they may take as long as people do, up to the deadline of the run.
    One that raises, or answers anything else, is reported and passed over. Where nobody answers, the call does not
    run, and the ``run`` ends with ApprovalError and the exit code 6.
    """


@hookspec
def llmos_post_tool_use(call: ToolCall, result: ToolResult, run: Run) -> None:
    """Observe a tool call that ended, whether it succeeded or failed. A denied call never ran, and is not seen here.

    All observers are called, each on its own: one that raises or hangs is reported, and the run goes on. What an
    observer returns is not looked at.
    """


@hookspec
def llmos_pre_model_request(request: ModelRequest, run: Run) -> Verdict | None:
    """Guard: judge a model request before it is sent and before money is held for it.

    The verdicts are those of ``llmos_pre_tool_use``, and the strictest wins; here ``ask`` means no too, for nobody
    can be asked in the middle of a turn. A refusal ends the request with DeniedError. A guard that fails in any way
    denies.
    """


@hookspec
def llmos_post_model_response(response: ModelUsed, run: Run) -> None:
    """Observe a model request that ended, with its tokens and its cost in US dollars.

    It is called for requests that failed or broke off too: ``complete`` is False then, and the usage a lower bound.
    An observer that raises or hangs is reported, and the run goes on.
    """


@hookspec
def llmos_stop(outcome: Outcome, run: Run) -> Outcome | None:
    """Transform: a run has ended, and its outcome is about to be told; may return the outcome completed.

    The hooks form a chain, as for ``llmos_user_prompt_submit``. Here a learned run becomes a trace, and the outcome
    gets its id. The run may still be used. A hook that raises is reported and left out.
    """


@hookspec
def llmos_event(event: Event) -> None:
    """Observe every event of every run, in the order in which it happened.

    Events come from a queue of each observer's own, so a slow one delays nobody. When the system closes, what an
    observer has not seen within its timeout it misses. One that raises is reported with the next run.
    """
