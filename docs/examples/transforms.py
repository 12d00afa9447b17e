"""Two transforms: the prompt gets a rule of the house, and a failed outcome says where to look.

Each takes a value and may give back another of its kind; None leaves it as it is. The next plugin gets what this one
gave. The first reads a file, so it is no coroutine: a plain function runs in a thread and blocks nobody.
"""

from __future__ import annotations

from llmos_core import Outcome, Run, hookimpl


@hookimpl
def llmos_user_prompt_submit(prompt: str, run: Run) -> str | None:
    rules = run.workspace / "rules.txt"
    return f"{prompt}\n\n{rules.read_text('utf-8')}" if rules.is_file() else None


@hookimpl
async def llmos_stop(outcome: Outcome) -> Outcome | None:
    if outcome.success:
        return None
    return outcome.model_copy(update={"output": f"{outcome.output}\nWhat happened: llmos runs show {outcome.run_id}"})
