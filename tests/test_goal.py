"""Goals: what may be one, and which are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import UsageError, goal_signature
from llmos_core.goal import MAX_GOAL_CHARS, canonical_goal, check_goal


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("x" * (MAX_GOAL_CHARS + 1), "too long"),
        ("a\udcffb", "not valid UTF-8"),
        ("a\x00b", "control character U\\+0000"),
        ("a\x1b[31m", "control character U\\+001B"),
    ],
)
def test_what_cannot_be_a_goal(goal: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_goal(goal)


@given(st.text(min_size=1, max_size=50))
def test_white_space_and_normal_form_do_not_matter(goal: str) -> None:
    assert canonical_goal(f"  {goal}\n") == canonical_goal(goal)
    assert canonical_goal(canonical_goal(goal)) == canonical_goal(goal)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Print the primes below 50", "Print the primes below 51"),
        ("Print the primes below 50", "Print the primes above 50"),
        ("Delete the files", "Do not delete the files"),
        ("Copy a to b", "Copy b to a"),
        ("Write Readme", "Write README"),
        ("Print the primes", "Print the primes."),
        ("Print 2023", "Print 2024"),
    ],
)
def test_goals_that_differ_have_different_signatures(one: str, other: str) -> None:
    assert goal_signature(one) != goal_signature(other)


@given(st.text(), st.text())
def test_equal_signatures_mean_equal_goals(one: str, other: str) -> None:
    assert (goal_signature(one) == goal_signature(other)) == (canonical_goal(one) == canonical_goal(other))
