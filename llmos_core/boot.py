"""Where kernel and host are joined: the machine is assembled from what the plugins contribute."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from llmos_core.contracts import Ledger, Matcher, MemoryBackend, ModelProvider, NoteBackend, Tool
from llmos_core.errors import LLMOSError, SettingsError, UsageError, describe
from llmos_core.host.host import SHORTEST_SECRET, Contribution, Host
from llmos_core.host.settings import LimitSettings, Settings, SettingsFile, validated
from llmos_core.kernel.bus import Bus
from llmos_core.kernel.journal import FileJournal, Journal, MemoryJournal
from llmos_core.kernel.memory import MemoryTraceStore
from llmos_core.kernel.models import RefusingLedger, ReportingLedger
from llmos_core.kernel.pricing import Price
from llmos_core.kernel.run import KernelRun, Limits, Machine
from llmos_core.kernel.snapshot import Bounds
from llmos_core.kernel.states import StateStore
from llmos_core.records import Outcome, Task
from llmos_core.run import ToolInfo
from llmos_core.workspace import Workspace

T = TypeVar("T")

INSTALL = 'Install the standard plugins: pip install "llmos-core[standard]"'


def assemble(
    host: Host,
    file: SettingsFile,
    workspace: Workspace | None,
    execute: Callable[[Task, KernelRun], Coroutine[Any, Any, Outcome]],
) -> Machine:
    """The machine for a system. Without a workspace it keeps everything in memory.

    Raises SettingsError where the settings name what is not there.
    """
    offers = host.collect("llmos_models", ModelProvider)
    kept = {name: host.ask(offer, lambda model: tuple(model.secrets())) for name, offer in offers.items()}
    # Of a provider that cannot name its credentials nothing could be struck out: it is not used.
    models = {name: offers[name].value for name, known in kept.items() if known is not None}
    limits = file.settings.limits
    credentials = [*host.secrets(), *(secret for known in kept.values() for secret in known or ())]
    secrets = tuple(secret for secret in credentials if len(secret) >= SHORTEST_SECRET)
    tools = host.collect("llmos_tools", Tool)
    backend = _memory(host, file.settings) if workspace else None
    return Machine(
        hooks=host.hook_table(),
        tools=_values(tools),
        infos={name: _info(tool) for name, tool in tools.items()},
        agents=host.agents(workspace.agents if workspace else None),
        traces=backend.trace_store(workspace.memories) if backend and workspace else MemoryTraceStore(),
        notes=backend.note_store(workspace.memories) if workspace and isinstance(backend, NoteBackend) else None,
        matchers=list(_values(host.collect("llmos_matchers", Matcher)).values()),
        choose_model=lambda: choose_model(models, file.settings.model.provider),
        ledger=_ledger(host),
        prices={m: validated(Price, p, ("prices", m)) for m, p in file.settings.prices.items()},
        limits=_limits(limits),
        settings=host.settings,
        execute=execute,
        make_journal=lambda run_id: _journal(run_id, secrets, workspace),
        bus=Bus(),
        states=StateStore(workspace.state, limits.start_states) if workspace else None,
        secrets=secrets,
    )


def _values(contributions: Mapping[str, Contribution[T]]) -> dict[str, T]:
    return {name: contribution.value for name, contribution in contributions.items()}


def _info(tool: Contribution[Tool]) -> ToolInfo:
    of, value = tool, tool.value
    return ToolInfo(of.name, value.description, value.input_model, value.effect, of.plugin, of.distribution, of.version)


def choose_model(models: Mapping[str, ModelProvider], wanted: str | None) -> ModelProvider:
    """The provider the settings want, else the first that is ready; a fallback only where no other is.

    Raises UsageError where none is ready.
    """
    if wanted is not None and wanted not in models:
        known = ", ".join(models) or "none"
        raise UsageError(f"There is no model provider {wanted}.", f"There are: {known}.", "Change [model] provider.")
    candidates = [models[wanted]] if wanted else sorted(models.values(), key=lambda model: model.fallback)
    reasons = []
    for provider in candidates:
        try:
            reason = provider.unready()
        except LLMOSError:
            raise
        except Exception as error:  # noqa: BLE001 - the next one may be ready
            reason = describe(error)
        if reason is None:
            return provider
        reasons.append(f"{provider.name}: {reason}")
    raise UsageError(
        "No model is ready.", "; ".join(reasons), "Say how one is reached: llmos init" if candidates else INSTALL
    )


def _memory(host: Host, settings: Settings) -> MemoryBackend | None:
    """The backend that the settings choose, else the first by name, which is told where there are others."""
    backends = _values(host.collect("llmos_memory_backends", MemoryBackend))
    if settings.memory is not None and settings.memory not in backends:
        known = ", ".join(backends) or "none"
        raise SettingsError(
            f"There is no memory backend {settings.memory}.", f"There are: {known}.", "Change `memory`."
        )
    if settings.memory is None and len(backends) > 1:
        both, first = " and ".join(sorted(backends)), min(backends)
        told = f'There is more than one memory backend, {both}: {first} is used. Choose: memory = "{first}"'
        host.faults.append(told)
    return backends[settings.memory or min(backends)] if backends else None


def _ledger(host: Host) -> Ledger:
    """The one ledger; without any, spending is only reported. Where it is not sure, nothing may be spent."""
    ledgers = host.collect("llmos_ledgers", Ledger)
    if len(ledgers) == 1:
        return next(iter(ledgers.values())).value
    if ledgers:
        both = " and ".join(f"{name} of {ledger.plugin}" for name, ledger in ledgers.items())
        return RefusingLedger(f"There is more than one ledger: {both}.")
    if away := host.failing_with("llmos_ledgers"):
        return RefusingLedger(f"The ledger of {away} cannot be used.")
    return ReportingLedger()


def _limits(limits: LimitSettings) -> Limits:
    return Limits(
        guard_timeout_s=limits.guard_timeout_s,
        observer_timeout_s=limits.observer_timeout_s,
        first_byte_timeout_s=limits.first_byte_timeout_s,
        stall_timeout_s=limits.stall_timeout_s,
        start_state=Bounds(max_files=limits.start_state_max_files, max_bytes=limits.start_state_max_bytes),
    )


def _journal(run_id: str, secrets: Sequence[str], workspace: Workspace | None) -> Journal:
    if workspace is None:
        return MemoryJournal()
    return FileJournal(workspace.journal(run_id), secrets)
