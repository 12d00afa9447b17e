"""Goals as text: what may be a goal, its canonical form, and the signature that names it.

In this first form two goals are the same only if their canonical texts are equal: similarity decides nothing.
"""

from __future__ import annotations

import hashlib
import unicodedata

from llmos_core.errors import UsageError

MAX_GOAL_CHARS = 100_000
"""The longest goal accepted, in characters."""


def check_goal(goal: str) -> str:
    """The goal without surrounding white space. Raises UsageError for text that cannot be a goal."""
    text = goal.strip()
    if not text:
        raise UsageError("The goal is empty.", fix='Say what to do: llmos run "GOAL"')
    if len(text) > MAX_GOAL_CHARS:
        raise too_long(f"{len(text):,}")
    for char in text:
        if unicodedata.category(char) == "Cs":
            raise UsageError("The goal is not valid UTF-8.", fix="Write the goal as UTF-8 text.")
        if unicodedata.category(char) == "Cc" and char not in "\n\r\t":
            raise UsageError(f"The goal holds the control character U+{ord(char):04X}.", fix="Remove it from the goal.")
    return text


def too_long(length: str) -> UsageError:
    """The error for a goal of that many characters."""
    return UsageError(
        "The goal is too long.",
        f"It has {length} characters; at most {MAX_GOAL_CHARS:,} are accepted.",
        "Put long material into a file in the working directory and name the file in the goal.",
    )


def canonical_goal(goal: str) -> str:
    """The goal in Unicode NFC with runs of white space folded to one space. Letter case is kept: it can matter."""
    return " ".join(unicodedata.normalize("NFC", goal).split())


def goal_signature(goal: str) -> str:
    """Sixteen hex digits (of SHA-256) that name the canonical goal; the id of its traces."""
    return hashlib.sha256(canonical_goal(goal).encode()).hexdigest()[:16]
