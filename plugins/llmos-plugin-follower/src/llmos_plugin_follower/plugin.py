"""Hook implementations."""

from __future__ import annotations

from collections.abc import Iterable

from llmos_core import Matcher, Strategy, hookimpl


@hookimpl
def llmos_strategies() -> Iterable[Strategy]:
    """The Follower."""
    from llmos_plugin_follower.follower import Follower

    return [Follower()]


@hookimpl
def llmos_matchers() -> Iterable[Matcher]:
    """The exact goal."""
    from llmos_plugin_follower.exact import ExactMatcher

    return [ExactMatcher()]
