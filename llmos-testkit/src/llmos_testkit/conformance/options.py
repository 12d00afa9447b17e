"""The option of the suite. The pytest plugin takes both hooks from here; nothing of LLM OS is imported."""

from __future__ import annotations

import pytest


class Chosen:
    """What the command line asked for."""

    plugin: str | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """The name of the plugin that ``llmos_testkit.conformance.suite`` checks."""
    parser.getgroup("llmos").addoption(
        "--llmos-plugin",
        metavar="NAME",
        help="the installed plugin (or distribution) to check: pytest --pyargs llmos_testkit.conformance.suite",
    )


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Tell the suite, which is a module and sees no configuration, which plugin was asked for."""
    Chosen.plugin = collector.config.getoption("--llmos-plugin")
