"""``llmos projects``: where tasks work, each with its own output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llmos_core.cli.completion import complete_projects
from llmos_core.cli.options import json_option, workspace_at, workspace_option
from llmos_core.cli.output import one_line, print_json, print_table, printable
from llmos_core.errors import UsageError

if TYPE_CHECKING:
    from llmos_core.workspace import Project


@click.group()
def projects() -> None:
    """Projects: list, make and show them.

    \b
    Examples:
      llmos projects create data_analysis --description "Analyse customer data"
      llmos run --project data_analysis "Count the files in data by type and write the table to types.md"
    """


@projects.command("list")
@workspace_option
@json_option
def list_(workspace: str | None, as_json: bool) -> None:
    """List the projects of the workspace."""
    found = list(workspace_at(workspace).projects())
    if as_json:
        print_json([_data(project) for project in found])
        return
    rows = [(project.name, one_line(project.description, 200)) for project in found]
    print_table(("project", "description"), rows, "There is no project yet. Make one: llmos projects create NAME")


@projects.command()
@click.argument("name")
@click.option("--description", metavar="TEXT", default="", help="What it is for; kept in its README.md.")
@workspace_option
@json_option
def create(name: str, description: str, workspace: str | None, as_json: bool) -> None:
    """Make the project NAME; one that is there keeps what it holds.

    NAME has letters, digits, - and _. Its tasks work in its output/ directory.

    \b
    Example:
      llmos projects create data_analysis --description "Analyse customer data"
    """
    space = workspace_at(workspace)
    space.open()
    known = space.project(name).root.exists()
    project = space.create_project(name, description)
    if as_json:
        print_json(_data(project))
        return
    click.echo(f"The project {name} {'is there already' if known else 'was made'}: {project.root}")
    click.echo(f'Work in it with: llmos run --project {name} "GOAL"', err=True)


@projects.command()
@click.argument("name", shell_complete=complete_projects)
@workspace_option
@json_option
def show(name: str, workspace: str | None, as_json: bool) -> None:
    """Show the project NAME: what it is for, and where it lies."""
    project = workspace_at(workspace).project(name)
    if not project.root.is_dir():
        raise UsageError(f"There is no project {name}.", fix=f"Make it: llmos projects create {name}")
    if as_json:
        print_json(_data(project))
        return
    click.echo(f"project      {project.name}\ndirectory    {project.root}\noutput       {project.output}")
    if description := project.description:
        click.echo(f"\n{printable(description)}")


def _data(project: Project) -> dict[str, str]:
    return {
        "name": project.name,
        "description": project.description,
        "directory": str(project.root),
        "output": str(project.output),
    }
