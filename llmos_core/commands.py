"""What the commands of plugins share with ours: options, output, completion. Public, like the names of the package."""

from llmos_core.cli.completion import complete_projects, complete_runs, complete_traces
from llmos_core.cli.options import json_option, workspace_option
from llmos_core.cli.output import money, one_line, print_error, print_json, print_table, printable

__all__ = [
    "complete_projects",
    "complete_runs",
    "complete_traces",
    "json_option",
    "money",
    "one_line",
    "print_error",
    "print_json",
    "print_table",
    "printable",
    "workspace_option",
]
