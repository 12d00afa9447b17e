"""What a distribution imports, read from its sources: nothing is run."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

Import = tuple[str, str | None]
"""A module and the name taken from it."""


def normalised(name: str) -> str:
    """A distribution's name as all its spellings have in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imports(package: str) -> Iterator[tuple[Path, Import]]:
    """Every import in a package or module but those for type checkers alone."""
    for path in _files(package):
        yield from ((path, found) for found in _imports(ast.parse(path.read_text("utf-8"))))


def _files(package: str) -> list[Path]:
    from importlib.util import find_spec

    spec = find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:  # also those of a package without __init__.py
        return sorted(path for place in spec.submodule_search_locations for path in Path(place).rglob("*.py"))
    return [Path(spec.origin)] if spec.origin else []


def _imports(tree: ast.AST) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from _imports(ast.Module(node.orelse, []))
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:
                yield from ((node.module, alias.name) for alias in node.names)
        else:
            yield from _imports(node)


def undeclared(package: str, required: set[str]) -> list[str]:
    """Modules that are imported, and that neither Python nor a required distribution brings."""
    owners = metadata.packages_distributions()
    missing = set()
    for _, (module, _) in imports(package):
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top == package:
            continue
        named = {normalised(owner) for owner in owners.get(top, [top])}
        if not named & required:
            missing.add(top)
    return sorted(missing)
