"""``llmos guard``: ask the guard about a call, and read its rules. Nothing is executed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmos_core import UsageError
from llmos_core.commands import json_option, print_json, print_table, printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from llmos_plugin_security.judge import Judge, Judgement
    from llmos_plugin_security.settings import SecuritySettings

TOOLS = ("Bash", "Read", "Write", "Edit", "NotebookEdit", "Glob", "Grep", "WebFetch")
EXIT_CODES = {"allow": 0, "ask": 6, "deny": 4}


@click.group()
def guard() -> None:
    """Ask the guard about a call, and read its rules."""


def _complete_tools(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in TOOLS if name.lower().startswith(incomplete.lower())]


_DIRECTORY = click.Path(path_type=Path, file_okay=False)


@guard.command()
@click.argument("command", required=False)
@click.option(
    "--tool", default="Bash", shell_complete=_complete_tools, help="The tool that is called.  [default: Bash]"
)
@click.option("--input", "given", metavar="JSON", help="The input of the call; instead of COMMAND.")
@click.option("--jsonl", type=click.File("rb"), help="Judge each line {id, tool, input}; - is stdin.")
@click.option("--root", type=_DIRECTORY, help="The directory that tools may write.  [default: the current one]")
@click.option("--home", type=_DIRECTORY, help="The user's home.  [default: yours]")
@json_option
def test(
    command: str | None,
    tool: str,
    given: str | None,
    jsonl: Any,
    root: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Judge COMMAND, or another call, and say why. Nothing is executed.

    Names the rule, the part of the command it is about, and the way to that part. Exits with 0 where the call is
    allowed, with 6 where it needs a yes, with 4 where it is denied, with 2 where the input is wrong. With --jsonl it
    prints a line for each call and exits with 0, or with 2 at the first line that is no call.

    \b
    Examples:
      llmos guard test 'rm -rf build'
      llmos guard test 'sudo sh -c "rm -rf /"'
      llmos guard test --tool Write --input '{"file_path": ".bashrc", "content": ""}'
      llmos guard test --jsonl calls.jsonl --root /workspace/proj --home /home/dev
    """
    from llmos_plugin_security.tools import is_known

    if sum(one is not None for one in (command, given, jsonl)) != 1:
        raise UsageError("Say what to judge.", "One of COMMAND, --input and --jsonl is needed, and only one.")
    if command is not None and tool != "Bash" and is_known(tool):
        raise UsageError(
            f"{tool} takes no command.", f"COMMAND is for Bash; {tool} has arguments.", "Use --input JSON."
        )
    settings = _settings()
    if jsonl is not None:
        _judge_lines(jsonl, settings, root, home)
        return
    judge = _judge(settings, root, home, {})
    judgement = judge.judge(tool, {"command": command} if given is None else _input(given))
    if as_json:
        print_json(_as_data(judgement))
    else:
        _show(judgement)
        if not is_known(tool):
            click.echo(printable(f"  tool  {tool} is not known to the guard: its arguments were judged by their names"))
    click.get_current_context().exit(EXIT_CODES[judgement.verdict])


def _settings() -> SecuritySettings:
    """The settings of the guard, as a run of this directory would have them."""
    from llmos_core import load_settings, plugin_settings
    from llmos_plugin_security.settings import SecuritySettings

    return plugin_settings(SecuritySettings, "security", load_settings())


def _judge(settings: SecuritySettings, root: Path | None, home: Path | None, links: dict[str, str]) -> Judge:
    from dataclasses import replace

    from llmos_plugin_security.guard import judge_for

    directory = (root or Path.cwd()).absolute()
    judge = judge_for(settings, directory, directory, home)
    absolute = {str(directory / link): target for link, target in links.items()}
    return replace(judge, world=replace(judge.world, links=absolute))


def _input(text: str) -> dict[str, Any]:
    import json

    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageError("The input is not JSON.", str(error), "Quote it for the shell: --input '{...}'") from error
    if not isinstance(data, dict):
        raise UsageError("The input is no JSON object.", "The input of a call has names and values.")
    return data


def _as_data(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict,
        "rule": judgement.rule or None,
        "reason": judgement.reason or None,
        "part": judgement.part or None,
        "path": list(judgement.trail),
    }


def _show(judgement: Judgement) -> None:
    from llmos_plugin_security.rules import by_id

    if judgement.verdict == "allow":
        click.echo(printable("allow" + (f": {judgement.reason} ({judgement.rule})" if judgement.rule else "")))
        return
    click.echo(printable(f"{judgement.verdict}: {judgement.reason}"))
    rule = by_id().get(judgement.rule)
    click.echo(printable(f"  rule  {judgement.rule}{f' - {rule.why}' if rule and rule.why else ''}"))
    if judgement.trail:
        click.echo(printable(f"  in    {' > '.join(judgement.trail)}"))


def _judge_lines(lines: Any, settings: SecuritySettings, root: Path | None, home: Path | None) -> None:
    import time

    _judge(settings, root, home, {}).command("ls")  # what is read from files once is not part of a judgement
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = _entry(number, line)
        judge = _judge(settings, root, home, entry["setup"])
        started = time.perf_counter()
        judgement = judge.judge(entry["tool"], entry["input"])
        micros = round((time.perf_counter() - started) * 1e6)
        said = _as_data(judgement)
        answer = {name: said[name] for name in ("verdict", "rule", "reason")}
        print_json_line({"id": entry.get("id", number), **answer, "micros": micros})


def print_json_line(data: dict[str, Any]) -> None:
    """One object in one line."""
    import json

    click.echo(json.dumps(data))


def _entry(number: int, line: bytes) -> dict[str, Any]:
    """A call; its ``setup`` are the links by their paths. Raises UsageError for a line that is no call."""
    import json

    fix = 'A line is a call: {"id": "1", "tool": "Bash", "input": {"command": "ls"}}'
    try:
        entry = json.loads(line.decode())
    except json.JSONDecodeError as error:
        raise UsageError(f"Line {number} is not JSON.", f"{error.msg}, column {error.colno}.", fix) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"Line {number} is not JSON.", "It is no UTF-8, or nested too deeply.", fix) from error
    if not (isinstance(entry, dict) and isinstance(entry.get("tool"), str) and isinstance(entry.get("input"), dict)):
        raise UsageError(f"Line {number} is no call.", "It needs `tool`, a text, and `input`, an object.", fix)
    setup = entry.get("setup") or {}
    links = (setup.get("symlinks") or {}) if isinstance(setup, dict) else None
    if not isinstance(links, dict) or not all(isinstance(target, str) for target in links.values()):
        why = "`setup` holds `symlinks`, the targets of links by their paths."
        raise UsageError(f"Line {number} is no call.", why, fix)
    return {**entry, "setup": links}


@guard.command("rules")
@json_option
def show_rules(as_json: bool) -> None:
    """Show the built-in rules and those of your settings.

    \b
    Examples:
      llmos guard rules
      llmos guard rules --json
    """
    from llmos_plugin_security.rules import rules

    settings = _settings()
    rows: list[dict[str, Any]] = [
        {
            "id": rule.id,
            "verdict": rule.severity,
            "kind": rule.kind,
            "what": rule.what,
            "why": rule.why or None,
            "examples": list(rule.match),
        }
        for rule in rules()
    ]
    rows += [
        {
            "id": f"settings-{given.id}",
            "verdict": given.verdict,
            "kind": "user",
            "what": f"{given.command} {given.args}".strip(),
            "why": given.why or None,
            "examples": [],
        }
        for given in settings.rules
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("rule", "verdict", "what"), [(row["id"], row["verdict"], row["what"]) for row in rows], "There are no rules."
    )
