from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmos_core.trace.record import Parameter, ProducedFile, Step, StepResult, Trace, Verification

PRIMES = """\
def is_prime(n):
    if n < 2:
        return False
    for i in range(2, int(n**0.5) + 1):
        if n % i == 0:
            return False
    return True


print([n for n in range(30) if is_prime(n)])
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def golden() -> Path:
    return Path(__file__).with_name("golden") / "primes.md"


def primes_trace(**changes: Any) -> Trace:
    fields: dict[str, Any] = {
        "goal_signature": "a3f7c9e1b2d4f8a6",
        "goal_text": "Create a Python script to calculate primes",
        "success_rating": 1.0,
        "created_at": datetime(2025, 1, 15, 14, 20, tzinfo=UTC),
        "estimated_cost_usd": 0.45,
        "cost_billing": "real",
        "estimated_time_secs": 12.5,
        "mode": "LEARNER",
        "tools_used": ("Write", "Bash"),
        "parameters": (Parameter(name="workdir", source="workdir"),),
        "verified": Verification(at=datetime(2025, 1, 15, 14, 20, 13, 250000, tzinfo=UTC), steps=2, files=1),
        "steps": (
            Step(
                title="Write primes.py",
                tool="Write",
                effect="workspace",
                arguments={"file_path": "{{workdir}}/primes.py", "content": PRIMES},
                result=StepResult(output="File created successfully at: {{workdir}}/primes.py"),
            ),
            Step(
                title="Test script",
                tool="Bash",
                effect="external",
                arguments={"command": "python primes.py", "timeout": 5000},
                result=StepResult(output="[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]", exit_code=0),
            ),
        ),
        "files": (ProducedFile(path="primes.py", digest="4b" * 32),),
        "answer": "The script prints the primes below 30:\n\n[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]",
    }
    return Trace(**(fields | changes))


@pytest.fixture
def primes() -> Trace:
    return primes_trace()
