"""A guard in a single file, ``WORKSPACE/plugins/no_push.py``: a rule of this workspace, without a package.

It is off until you say ``llmos plugins enable no_push``. It may implement any hook.
"""

from llmos_core import ToolCall, Verdict, hookimpl


@hookimpl
async def llmos_pre_tool_use(call: ToolCall) -> Verdict | None:
    if call.tool == "Bash" and "git push" in str(call.input.get("command", "")):
        return Verdict.deny("Nothing is pushed from this workspace.", rule="workspace.no-push")
    return None
