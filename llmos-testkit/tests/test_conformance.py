"""A standard check is overridden with a reason that pytest holds to, or the meta check fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from llmos_testkit.conformance import Conformance
from llmos_testkit.conformance import __all__ as names
from llmos_testkit.conformance.base import META, Watched, swallows_cancellation
from llmos_testkit.conformance.ledgers import LedgerConformance

from .conformance_parts import run_checks

CHECK = "test_it_has_a_name"


class Nameless:
    name = ""

    def hold(self) -> None:
        """No ledger would be asked here."""


def overriding(check: Any) -> type:
    """Checks of a ledger without a name, one of them overridden."""

    class Checked(LedgerConformance):
        @pytest.fixture
        def ledger(self) -> Any:
            return Nameless()

    setattr(Checked, CHECK, check)
    return Checked


def calling_the_standard(self: Any, ledger: Any) -> None:
    LedgerConformance.test_it_has_a_name(self, ledger)


def passing(self: Any, ledger: Any) -> None:
    """Checks nothing."""


def marked(mark: Any, check: Any = calling_the_standard) -> Any:
    def copy(self: Any, ledger: Any) -> None:
        check(self, ledger)

    return mark(copy)


def outcome(tmp_path: Path, cls: type, *options: str) -> tuple[str, str | None]:
    recorder = run_checks(tmp_path, {"checked": cls}, "-k", f"{CHECK} or {META}", *options)
    went = recorder.verdicts["checked"]
    return went[META], went.get(CHECK)


def test_a_strict_xfail_with_a_reason_is_accepted(tmp_path: Path) -> None:
    check = marked(pytest.mark.xfail(reason="It is anonymous.", strict=True))
    assert outcome(tmp_path, overriding(check)) == ("passed", "xfailed")


def test_an_xfail_that_passes_fails(tmp_path: Path) -> None:
    check = marked(pytest.mark.xfail(reason="It was anonymous.", strict=True), passing)
    assert outcome(tmp_path, overriding(check)) == ("passed", "failed")


def test_strictness_may_come_from_the_settings_of_pytest(tmp_path: Path) -> None:
    check = marked(pytest.mark.xfail(reason="It is anonymous."))
    assert outcome(tmp_path, overriding(check), "-o", "xfail_strict=true") == ("passed", "xfailed")
    assert outcome(tmp_path, overriding(check), "-o", "xfail_strict=false") == ("failed", "xfailed")


@pytest.mark.parametrize(
    "check",
    [
        passing,
        None,
        marked(pytest.mark.skip(reason="No.")),
        marked(pytest.mark.skipif(True, reason="No.")),
        marked(pytest.mark.xfail(strict=True)),
        marked(pytest.mark.xfail(reason=" ", strict=True)),
        marked(pytest.mark.xfail(reason="It is anonymous.", strict=True, run=False)),
    ],
    ids=["passing", "removed", "skipped", "skipped if", "no reason", "blank reason", "not run"],
)
def test_anything_else_fails_the_meta_check(tmp_path: Path, check: Any) -> None:
    assert outcome(tmp_path, overriding(check))[0] == "failed"


def test_what_a_base_of_the_author_overrides_counts_too(tmp_path: Path) -> None:
    class Derived(overriding(passing)):  # type: ignore[misc]
        pass

    assert outcome(tmp_path, Derived)[0] == "failed"


def test_a_class_cannot_be_expected_to_fail_as_a_whole(tmp_path: Path) -> None:
    class Derived(overriding(calling_the_standard)):  # type: ignore[misc]
        pytestmark = [pytest.mark.xfail(reason="It is anonymous.")]

    recorder = run_checks(tmp_path, {"checked": Derived}, "-k", META)
    assert recorder.verdicts["checked"][META] == "xfailed"
    assert "as a whole" in recorder.said[f"checked.{META}"]


def test_the_meta_check_cannot_be_overridden() -> None:
    with pytest.raises(TypeError, match=META):
        type("Checked", (LedgerConformance,), {META: None})


def test_checks_of_the_authors_own_need_no_reason(tmp_path: Path) -> None:
    cls = overriding(marked(pytest.mark.xfail(reason="It is anonymous.", strict=True)))
    cls.test_of_my_own = passing  # type: ignore[attr-defined]
    assert outcome(tmp_path, cls)[0] == "passed"


def test_a_class_without_its_thing_says_what_to_give(tmp_path: Path) -> None:
    class Checked(LedgerConformance):
        pass

    recorder = run_checks(tmp_path, {"checked": Checked}, "-k", CHECK)
    assert recorder.verdicts["checked"] == {CHECK: "failed"}
    assert "override the fixture `ledger`" in recorder.said[f"checked.{CHECK}"]


def test_a_check_sees_nothing_of_the_machines_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-user")
    monkeypatch.setenv("LLMOS_PROVIDER", "anthropic")
    seen: list[Any] = []

    class Checked(Conformance):
        def test_look(self, home: Path) -> None:
            import os

            seen.append(
                (Path.home() == home, list(home.iterdir()), {*os.environ} & {"ANTHROPIC_API_KEY", "LLMOS_PROVIDER"})
            )

    run_checks(tmp_path, {"checked": Checked})
    assert seen == [(True, [], set())]


def test_every_standard_check_is_bounded_in_time() -> None:
    import llmos_testkit.conformance as package

    for name in names:
        cls = getattr(package, name)
        for check in [c for n, c in vars(cls).items() if n.startswith("test_") and hasattr(c, "__wrapped__")]:
            assert check.__wrapped__.__name__ == check.__name__
    assert hasattr(LedgerConformance.test_what_is_settled_is_booked, "__wrapped__")


async def test_a_swallowed_cancellation_is_seen_and_an_honest_one_is_not() -> None:
    async def honest() -> None:
        await anyio.lowlevel.checkpoint()

    async def cleaning() -> None:
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()

    async def at_once() -> int:
        return 1

    async def deaf() -> None:
        try:
            await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class():
            return

    async def another_error() -> None:
        try:
            await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class():
            raise ValueError from None

    works = (honest, cleaning, at_once, deaf, another_error)
    assert [await swallows_cancellation(work) for work in works] == [False, False, False, True, True]
    assert await Watched(at_once()) == 1
