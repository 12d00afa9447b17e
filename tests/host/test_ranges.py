"""The range of llmos-core that a plugin states: read as every installer reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from llmos_core import API_VERSION, __version__
from llmos_core.host.discovery import PLUGIN_GROUP, Found, _admits, find, misfit
from llmos_testkit import PluginDistributions

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


@pytest.mark.parametrize(
    ("lines", "needs"),
    [
        (["llmos-core>=0.1,<0.2"], ">=0.1,<0.2"),
        (["LLMOS_Core (>=0.1)"], ">=0.1"),
        (["llmos-core[standard] >=0.1 ; python_version > '3'"], ">=0.1"),
        (["llmos-core"], ""),
        (["llmos-core-extras<0.0.1", "llmos-core.more<0.0.1", "llmos-corex<0.0.1"], ""),
        (["llmos-core-extras<0.0.1", "llmos-core>=0.1"], ">=0.1"),
        (["llmos-core @ file:///tmp/llmos-core"], ""),
        (["llmos-core>=99; extra == 'next'", "llmos-core>=0.1"], ">=0.1"),
        (["llmos-core>=99 ; python_version > '3' and extra == 'next'"], ""),
    ],
)
def test_the_requirement_of_the_core(
    lines: list[str], needs: str, plugin_distribution: PluginDistributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = plugin_distribution("llmos-plugin-needs", {}, requires=lines, entry_points={PLUGIN_GROUP: {"n": "n"}})
    monkeypatch.syspath_prepend(str(place))
    [found] = [found for found in find(PLUGIN_GROUP) if found.distribution == "llmos-plugin-needs"]
    assert (found.needs, found.fault) == (needs, None)


def test_a_name_that_stands_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "llmos_plugin_twice-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: llmos-plugin-twice\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[llmos.commands]\na = m:c\n[llmos.plugins]\na = m\na = other\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    [found] = [found for found in find(PLUGIN_GROUP) if found.distribution == "llmos-plugin-twice"]
    assert (found.name, found.fault) == ("a", "entry_points.txt names a twice in [llmos.plugins]")
