"""The range of llmos-core that a plugin states: read as every installer reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from llmos_core import API_VERSION, __version__
from llmos_core.host.discovery import Found, _admits, misfit

releases = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
clauses = st.tuples(st.sampled_from([">=", "<", ">= ", "<=", "==", "!=", "~="]), releases).map("".join)


@given(st.lists(clauses, min_size=1, max_size=3).map(",".join), releases)
def test_it_agrees_with_packaging(needs: str, version: str) -> None:
    try:
        wanted = SpecifierSet(needs).contains(version, prereleases=True)
    except ValueError:
        with pytest.raises(ValueError, match="nvalid"):
            _admits(needs, version)
    else:
        assert _admits(needs, version) is wanted


def test_what_does_not_fit_says_both_versions() -> None:
    found = Found("x", "m", "d", "1", needs=">=99")
    assert misfit(found) == f"it needs llmos-core >=99, and this is {__version__}"
    assert misfit(Found("x", "m", "d", "1", needs=f">={API_VERSION},<99")) is None
    assert misfit(Found("x", "m", "d", "1")) is None


def test_a_range_that_is_none() -> None:
    with pytest.raises(ValueError, match="nvalid"):
        misfit(Found("x", "m", "d", "1", needs="about 3"))
