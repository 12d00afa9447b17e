"""The reference is complete and fresh: every hook has a page, words of its own, and an example that implements it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs import test_examples
from tests.docs.kinds import HOOKS, KINDS, ROOT, RUN, Page
from tests.docs.reference import REFERENCE, hook_doc, hook_names, pages, undocumented

SHORTEST = 25
"""Words: a hook whose docstring has fewer says no more than its name."""


@pytest.mark.parametrize("path", [*pages()], ids=lambda path: path.stem)
def test_a_page_is_fresh(path: Path) -> None:
    assert path.exists(), "run: python -m tests.docs.reference"
    assert path.read_text("utf-8") == pages()[path], "run: python -m tests.docs.reference"


def test_no_page_is_left_over() -> None:
    assert {*REFERENCE.rglob("*.md")} == {*pages()}


def test_the_hooks_are_those_of_the_host() -> None:
    """The generator reads the source; the host asks pluggy. Both see the same hooks."""
    from llmos_core import hookspecs

    assert {*hook_names()} == {name for name, value in vars(hookspecs).items() if hasattr(value, "llmos_spec")}


@pytest.mark.parametrize("hook", hook_names())
def test_a_hook_has_one_page(hook: str) -> None:
    assert len([page.name for page in KINDS if hook in page.hooks]) == 1, f"name {hook} in tests/docs/kinds.py"


@pytest.mark.parametrize("hook", hook_names())
def test_a_hook_says_what_it_is_for(hook: str) -> None:
    """More than a line, and every argument that it takes is spoken of."""
    text = hook_doc(hook)
    assert len(text.split()) >= SHORTEST, f"the docstring of {hook} in {HOOKS} is too short"
    assert len(re.findall(r"[.:](?:\s|$)", text)) >= 2, f"the docstring of {hook} is one sentence"


@pytest.mark.parametrize("hook", hook_names())
def test_a_hook_has_an_example(hook: str) -> None:
    [page] = [page for page in KINDS if hook in page.hooks]
    tree = ast.parse(page.example.read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert hook in [node.name for node in functions], f"{page.example.name} does not implement {hook}"


@pytest.mark.parametrize("page", KINDS, ids=lambda page: page.name)
def test_an_example_is_run(page: Page) -> None:
    """Each kind has a test of its example's name in test_examples.py."""
    assert callable(getattr(test_examples, f"test_{page.name}", None))


@pytest.mark.parametrize("name", sorted({name for page in (*KINDS, RUN) for name in page.things}))
def test_a_contract_says_what_each_part_is_for(name: str) -> None:
    """Everything that a page shows has a docstring, and so has every method of it."""
    assert [*undocumented(name)] == []


def test_what_a_page_shows_is_public() -> None:
    import llmos_core

    shown = {name for page in (*KINDS, RUN) for name in page.things}
    assert shown - {*vars(llmos_core)["__all__"]} == set()


def test_an_example_imports_public_names_only() -> None:
    for path in [*(ROOT / "docs/examples").rglob("*.py")]:
        imported = {
            node.module
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("llmos_core")
        }
        assert imported <= {"llmos_core", "llmos_core.commands"}, path
