"""The ``llmos`` command: finds its commands without importing them, and turns errors into lines and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from llmos_core.cli.completion import complete_directories
from llmos_core.cli.options import WORKSPACE_HELP
from llmos_core.cli.output import print_error, print_json_error
from llmos_core.errors import ExitCode, LLMOSError, PluginError, RunInterruptedError, UsageError

if TYPE_CHECKING:
    from llmos_core.host.discovery import Found

COMMANDS = {
    "run": ("llmos_core.cli.run:run", "Run a goal: follow it if it is known, else learn it."),
    "explain": ("llmos_core.cli.explain:explain", "Show which mode a goal would run in, and why. Runs nothing."),
    "traces": ("llmos_core.cli.traces:traces", "List, show and verify what was learned."),
    "runs": ("llmos_core.cli.runs:runs", "List and show past runs."),
    "projects": ("llmos_core.cli.projects:projects", "List, make and show projects."),
    "plugins": ("llmos_core.cli.plugins:plugins", "List the installed plugins."),
    "doctor": ("llmos_core.cli.doctor:doctor", "Check the installation, and say what to mend."),
    "completion": ("llmos_core.cli.completion:completion", "Print the script that completes llmos in your shell."),
}

_SUMMARIES = [(name, summary) for name, (_, summary) in COMMANDS.items()]


class LazyGroup(click.Group):
    """A group whose help comes from a table and from distributions' metadata: no command is imported for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(_plugin_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            return _load(COMMANDS[cmd_name][0])
        found = _plugin_commands().get(cmd_name)
        if found is None:
            return None
        try:
            return _load(found.value)
        except (Exception, SystemExit) as error:
            if ctx.resilient_parsing:
                return click.Command(cmd_name)  # the shell completes: what is broken is told when it is called
            what = f"The command {cmd_name} of {found.distribution} cannot be loaded."
            fix = f"Upgrade or uninstall {found.distribution}."
            raise PluginError(what, f"{type(error).__name__}: {error}", fix) from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        rows = [*_SUMMARIES, *((name, found.command_summary) for name, found in sorted(_plugin_commands().items()))]
        commands = [CompletionItem(name, help=summary) for name, summary in rows if name.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(_SUMMARIES)
        if ours := _plugin_commands():
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, found.command_summary) for name, found in sorted(ours.items())])


def _load(target: str) -> click.Command:
    module, _, attribute = target.partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command), f"{target} is no command"
    return command


def _plugin_commands() -> dict[str, Found]:
    from llmos_core.host.discovery import COMMAND_GROUP, find

    return {found.name: found for found in find(COMMAND_GROUP) if found.name not in COMMANDS}


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--workspace", metavar="DIR", help=WORKSPACE_HELP, shell_complete=complete_directories)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(package_name="llmos-core", prog_name="llmos")
@click.pass_context
def llmos(ctx: click.Context, workspace: str | None, debug: bool) -> None:
    """LLM OS learns a task once and replays it for free.

    \b
    Examples:
      llmos run "Create a Python script that prints the primes below 50 and run it"
      llmos explain "Create a Python script that prints the primes below 50 and run it"
      llmos traces list
    """
    ctx.obj = {"workspace": workspace, "debug": debug}


def run_command() -> int:
    """Run the command and give its exit code. A traceback is shown only with ``--debug``."""
    try:
        return int(llmos.main(standalone_mode=False) or 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _report(RunInterruptedError("Interrupted."))
    except click.ClickException as error:
        error.show()
        print_json_error(UsageError(error.format_message()))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - told in lines; --debug shows where it came from
        if "--debug" in sys.argv:
            traceback.print_exc()
        return _tell(_leaf(error))


def _leaf(error: BaseException) -> BaseException:
    """The one error inside groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _tell(error: BaseException) -> int:
    if isinstance(error, BrokenPipeError):
        # The reader went away; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    if isinstance(error, LLMOSError):
        return _report(error)
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        return _report(LLMOSError("A file could not be read or written.", f"{error.strerror or error}{place}"))
    text = f"{type(error).__name__}: {error}"
    return _report(LLMOSError("llmos failed by its own fault.", text, "See more with --debug."))


def _report(error: LLMOSError) -> int:
    print_error(error)
    print_json_error(error)
    return error.exit_code
