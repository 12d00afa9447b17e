"""Runs conformance classes in a pytest of their own, and tells how each check went."""

from __future__ import annotations

import itertools
import sys
import types
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llmos_testkit.conformance.base import META

Verdicts = dict[str, dict[str, str]]
_numbers = itertools.count()
_BRIDGE = "llmos_conformance_bridge"


class Recorder:
    """Notes the outcome of each check, by class and name; a setup that fails is a failure."""

    def __init__(self) -> None:
        self.verdicts: Verdicts = defaultdict(dict)
        self.said: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        *_, owner, check = report.nodeid.split("::")
        if report.when == "call" or report.outcome != "passed":
            self.verdicts[owner][check] = "xfailed" if hasattr(report, "wasxfail") else report.outcome
            self.said[f"{owner}.{check}"] = str(report.longrepr)


def run_checks(tmp_path: Path, classes: Mapping[str, type], *options: str) -> Recorder:
    """How each check of these classes went."""
    file = tmp_path / f"test_bridge_{next(_numbers)}.py"  # a name of its own: modules are kept by their names
    file.write_text(f"from {_BRIDGE} import *\n", "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    bridge = types.ModuleType(_BRIDGE)
    for name, cls in classes.items():
        cls.__test__ = True
        setattr(bridge, name, cls)
    bridge.__all__ = list(classes)  # type: ignore[attr-defined]
    recorder = Recorder()
    base = tmp_path / "base"
    given = ["-q", "--tb=short", "--no-summary", "-p", "no:cacheprovider", "--capture=no", f"--rootdir={tmp_path}"]
    sys.modules[_BRIDGE] = bridge
    try:
        pytest.main([*given, "--import-mode=importlib", f"--basetemp={base}", *options, str(file)], plugins=[recorder])
    finally:
        del sys.modules[_BRIDGE]
    return recorder


def checks_of(standard: type) -> set[str]:
    """The names of the checks of a conformance class, but for the one on overriding."""
    return {name for name in dir(standard) if name.startswith("test_")} - {META}


def assert_each_check_can_fail(
    tmp_path: Path,
    standard: type,
    good: type,
    mutants: Mapping[str, Any],
    *,
    also: Mapping[str, set[str]] | None = None,
) -> None:
    """The good one passes every check; of each broken one fails that check which the table names, and no other.

    ``also`` names further checks that a fault cannot but fail.
    """
    recorder = run_checks(tmp_path, {"good": good, **{f"mutant_{check}": cls for check, cls in mutants.items()}})
    wrong = {check: outcome for check, outcome in recorder.verdicts["good"].items() if outcome != "passed"}
    assert not wrong, f"{wrong}: {recorder.said}"
    assert recorder.verdicts["good"].keys() == checks_of(standard) | {META}
    assert mutants.keys() == checks_of(standard), checks_of(standard) ^ mutants.keys()
    for check in mutants:
        went = recorder.verdicts[f"mutant_{check}"]
        failed = {name for name, outcome in went.items() if outcome == "failed"}
        wanted = {check} | (also or {}).get(check, set())
        said = "\n".join(recorder.said[f"mutant_{check}.{name}"][-1500:] for name in sorted(failed - wanted))
        assert failed == wanted, f"mutant for {check} failed {sorted(failed)}\n{said}"
