"""What the commands of plugins share with ours: options, output, completion. Public, like the names of the package."""

from llmos_core.cli.completion import complete_projects, complete_runs, complete_traces
from llmos_core.cli.options import json_option, shown_options, workspace_option, workspace_root
from llmos_core.cli.output import call_text, money, one_line, print_error, print_json, print_table, printable, say
from llmos_core.cli.plugins.list import Row as PluginRow
from llmos_core.cli.plugins.list import list_plugins
from llmos_core.cli.plugins.names import complete_plugins
from llmos_core.cli.running import carry_out
from llmos_core.cli.settings_edit import change_user_settings

__all__ = [
    "PluginRow",
    "call_text",
    "carry_out",
    "change_user_settings",
    "complete_plugins",
    "complete_projects",
    "complete_runs",
    "complete_traces",
    "json_option",
    "list_plugins",
    "money",
    "one_line",
    "print_error",
    "print_json",
    "print_table",
    "printable",
    "say",
    "shown_options",
    "workspace_option",
    "workspace_root",
]
