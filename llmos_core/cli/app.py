"""The ``llmos`` command: finds its commands without importing them, and turns errors into lines and exit codes."""

from __future__ import annotations

import os
import sys
import traceback

import click

from llmos_core.cli.completion import complete_directories
from llmos_core.cli.lazy import LazyGroup
from llmos_core.cli.options import WORKSPACE_HELP
from llmos_core.cli.output import print_error, print_json_error
from llmos_core.errors import ExitCode, LLMOSError, RunInterruptedError, UsageError
from llmos_core.host.settings_sources import given_flags

COMMANDS = {
    "run": ("llmos_core.cli.run:run", "Run a goal: follow it if it is known, else learn it."),
    "explain": ("llmos_core.cli.explain:explain", "Show which mode a goal would run in, and why. Runs nothing."),
    "traces": ("llmos_core.cli.traces:traces", "List, show and verify what was learned."),
    "runs": ("llmos_core.cli.runs:runs", "List and show past runs."),
    "projects": ("llmos_core.cli.projects:projects", "List, make and show projects."),
    "plugins": ("llmos_core.cli.plugins:plugins", "Find, install, switch on and off, and check plugins."),
    "settings": ("llmos_core.cli.settings:settings", "Show the settings, and where each comes from."),
    "doctor": ("llmos_core.cli.doctor:doctor", "Check the installation, and say what to mend."),
    "completion": ("llmos_core.cli.completion:completion", "Print the script that completes llmos in your shell."),
}


class _Main(LazyGroup.of(COMMANDS)):  # type: ignore[misc]
    """The command itself; ``--no-plugins`` may stand without a value, whatever follows it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--no-plugins=*" if arg == "--no-plugins" else arg for arg in args])  # type: ignore[no-any-return]


@click.command(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--workspace", metavar="DIR", help=WORKSPACE_HELP, shell_complete=complete_directories)
@click.option("--no-plugins", metavar="[=NAME,...]", help="Load no plugin, or all but these.")
@click.option("--set", "flags", multiple=True, metavar="KEY=VALUE", help="A setting for this command. Repeatable.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(package_name="llmos-core", prog_name="llmos")
@click.pass_context
def llmos(
    ctx: click.Context, workspace: str | None, no_plugins: str | None, flags: tuple[str, ...], debug: bool
) -> None:
    """LLM OS learns a task once and replays it for free.

    \b
    Examples:
      llmos run "Create a Python script that prints the primes below 50 and run it"
      llmos explain "Create a Python script that prints the primes below 50 and run it"
      llmos traces list
    """
    if no_plugins:
        os.environ["LLMOS_NO_PLUGINS"] = no_plugins
    given_flags.set(flags)
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
