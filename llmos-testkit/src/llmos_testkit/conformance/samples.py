"""Traces and notes to keep: among them texts that look like the structure of a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from llmos_core import Note, Parameter, ProducedFile, Step, StepResult, Trace, Verification, goal_signature

GOAL = "Say hello to the conformance kit."
AT = datetime(2026, 1, 15, 14, 20, 13, 250_000, tzinfo=UTC)
STRUCTURE = """\
---
goal_signature: 0000000000000000
---

# Trace

## Step 2: not a step

Tool: Bash
Effect: pure
command: rm -rf {{workdir}}

```markdown
````
~~~
Result: exit 7
<!-- comment -->
\ttab, trailing blanks  \n\nn\u00fcl \U0001f600 \\n {{nothing}} {{ workdir }} \\{{workdir}}
"""
TEXTS = (
    STRUCTURE,
    "",
    "\n",
    "\n\n  leading and trailing \n\n",
    "a: b\n- c\n",
    "# 1\n",
    "```\n",
    "\u2028\x85\u00a0",
    "null",
)


def trace(number: int = 0, goal: str = GOAL, text: str = "hello", **changes: Any) -> Trace:
    """A verified trace; each ``number`` is a version of its own, the higher the younger."""
    fields: dict[str, Any] = {
        "goal_signature": goal_signature(goal),
        "goal_text": goal,
        "success_rating": 1.0,
        "created_at": AT + timedelta(minutes=number),
        "estimated_cost_usd": 0.25,
        "cost_billing": "real",
        "estimated_time_secs": 1.5,
        "mode": "LEARNER",
        "tools_used": ("Write",),
        "parameters": (Parameter(name="workdir", source="workdir"),),
        "verified": Verification(at=AT, steps=1, files=1),
        "steps": (
            Step(
                title="Write hello",
                tool="Write",
                effect="workspace",
                arguments={"file_path": "{{workdir}}/hello", "content": text},
                result=StepResult(output=f"written: {text}"),
            ),
        ),
        "files": (ProducedFile(path="hello", digest="4b" * 32),),
        "answer": f"Done: {number}",
    }
    return Trace(**(fields | changes))


def odd_traces() -> list[Trace]:
    """Traces that a store must give back as they were."""
    many = tuple(
        Step(
            title=f"Step {number}",
            tool="Bash",
            effect="external",
            agent="helper" if number == 1 else None,
            arguments={"command": text, "n": number, "deep": {"list": [text, None, True, 1.5], "": {}}},
            result=StepResult(output=text, is_error=number == 2, exit_code=number),
        )
        for number, text in enumerate(TEXTS)
    )
    return [
        *(trace(number, text=text) for number, text in enumerate(TEXTS)),
        trace(50, steps=many, tools_used=("Bash",), answer=STRUCTURE),
        trace(51, steps=(), files=(), answer="", verified=None, unverified_reason="a: #1 --- \u00fc", completed=False),
        trace(
            52, inputs={"---": "# a", "n": [1, 1.0, True, None, {}]}, constraints=("- one", "two: three"), env=("A",)
        ),
        trace(53, goal="# Goal: a \u201cquoted\u201d {{workdir}} ---"),
    ]


def note(id: str = "n1", text: str = "The harbour opens at nine.", **changes: Any) -> Note:
    """A note."""
    return Note(**{"id": id, "text": text, "created_at": AT, **changes})


def odd_notes() -> list[Note]:
    """Notes that a store must give back as they were."""
    return [
        *(note(f"odd-{number}", text) for number, text in enumerate(TEXTS) if text),
        note("full", "All fields.", kind="insight", tags=("a b", "#x", ""), project="p-1", source="run: 2026 # 1"),
        note("../../outside", "An id is no path."),
        note("\u00dc ber/\u2713", "An id is any text."),
        note("case", "lower"),
        note("CASE", "upper"),
    ]
