"""``llmos doctor``: is everything there that a run needs, and if not, what to do."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import click
import importlib_metadata

from llmos_core.boot import INSTALL
from llmos_core.cli.options import json_option, workspace_option
from llmos_core.cli.output import print_json
from llmos_core.contracts import ModelProvider
from llmos_core.errors import ExitCode, LLMOSError
from llmos_core.host.plugins import PluginInfo
from llmos_core.host.settings import load_settings
from llmos_core.records import Check
from llmos_core.system import LLMOS


@click.command()
@workspace_option
@json_option
def doctor(workspace: str | None, as_json: bool) -> None:
    """Check the installation: settings, workspace, plugins, model. Exits with 1 if something must be mended."""
    checks = list(_checks(workspace))
    if as_json:
        print_json([check.model_dump() for check in checks])
    else:
        for check in checks:
            click.echo(f"{check.state:<8} {check.name:<10} {check.detail}")
            if check.fix:
                click.echo(f"{'':<19} {check.fix}")
    if any(check.state == "error" for check in checks):
        click.get_current_context().exit(ExitCode.FAILED)


def _checks(workspace: str | None) -> Iterator[Check]:
    yield Check.ok("python", f"Python {platform.python_version()}, llmos-core {_version('llmos-core')}")
    yield _yaml()
    try:
        file = load_settings()
        yield Check.ok("settings", str(file.path or "no llmos.toml, defaults"))
        system = LLMOS(workspace, settings=file)
    except LLMOSError as error:
        yield Check.error("boot", f"{error.what} {error.why}".strip(), error.fix)
        return
    assert system.workspace is not None
    yield Check.ok("workspace", str(system.workspace.root))
    found = system.host.checks()
    for info in system.host.plugins:
        yield _plugin(info)
    yield from _parts(system)
    yield _model(system)
    yield from found


def _plugin(info: PluginInfo) -> Check:
    name = f"{info.name} ({info.distribution} {info.version})"
    if info.state == "ok":
        return Check.ok("plugin", name)
    if info.state == "disabled":
        return Check.ok("plugin", f"{name} disabled{f': {info.error}' if info.error else ''}")
    return Check.error("plugin", f"{name} {info.state} at {info.stage}: {info.error}", info.fix)


def _parts(system: LLMOS) -> Iterator[Check]:
    for name, parts in (("tools", system.machine.tools), ("strategies", system.dispatcher.strategies)):
        if parts:
            yield Check.ok(name, ", ".join(parts))
        else:
            yield Check.warning(name, "none", INSTALL)


def _model(system: LLMOS) -> Check:
    try:
        provider: ModelProvider = system.machine.choose_model()
    except LLMOSError as error:
        return Check.warning("model", f"{error.what} {error.why}".strip(), "Goals can be followed, but not learned.")
    if provider.fallback:
        return Check.warning("model", " ".join(provider.notices()), "Say how a model is reached: llmos init")
    return Check.ok("model", provider.name)


def _yaml() -> Check:
    import yaml

    if yaml.__with_libyaml__:
        return Check.ok("yaml", "libyaml is used")
    return Check.warning("yaml", "PyYAML works without libyaml, several times slower", "Install a PyYAML wheel.")


def _version(distribution: str) -> str:
    try:
        return importlib_metadata.version(distribution)
    except importlib_metadata.PackageNotFoundError:
        return "(not installed)"
