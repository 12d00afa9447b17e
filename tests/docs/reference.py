"""Makes the reference, docs/reference/, of docstrings, signatures and examples: ``python -m tests.docs.reference``.

The texts are read from the sources, nothing is imported. To change a page, change the docstring or the example that it
shows, and run this again; a test sees a page that is stale.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from tests.docs.kinds import EXAMPLES, HOOKS, KINDS, ROOT, RUN, SOURCES, Page

REFERENCE = ROOT / "docs/reference"
WIDTH = 100
IMPORTS = """\
During a run all of them are given [the Run](run.md). Import what is named here from `llmos_core`, and from nothing
deeper; what commands share comes from `llmos_core.commands`.\
"""
MADE = "*Made of the sources by `python -m tests.docs.reference`.*"

Node = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def pages() -> Mapping[Path, str]:
    """Every file of the reference, with the text it must have."""
    made = {REFERENCE / f"{page.name}.md": render(page) for page in (*KINDS, RUN)}
    return {REFERENCE / "index.md": _index(), **made}


def hook_names() -> Sequence[str]:
    """Every extension point of the core."""
    marked = [
        node for node in _nodes(HOOKS).values() if isinstance(node, ast.FunctionDef) and "hookspec" in _marks(node)
    ]
    return [node.name for node in marked]


def hook_doc(name: str) -> str:
    """What a hook says of itself."""
    node = _nodes(HOOKS)[name]
    return (isinstance(node, ast.FunctionDef) and ast.get_docstring(node)) or ""


def undocumented(name: str) -> Iterator[str]:
    """What of a thing says nothing of itself: the thing, or a public method of it."""
    [path] = [path for path in SOURCES if name in _nodes(path)]
    node = _nodes(path)[name]
    if not (ast.get_docstring(node) if isinstance(node, Node) else _said_after(path, node)):
        yield name
    for method in _methods(node) if isinstance(node, ast.ClassDef) else ():
        if not ast.get_docstring(method) and "classmethod" not in _marks(method):  # a maker's arguments say enough
            yield f"{name}.{method.name}"


def render(page: Page) -> str:
    """One page, as Markdown."""
    parts = [f"# {page.title}", page.lead]
    for name in page.hooks:
        parts += [f"## `{name}`", _code("python", _signature(_nodes(HOOKS)[name])), _prose(hook_doc(name))]
    if page.example.exists():
        parts += ["## Example", *_example(page)]
    if page.things or page.modules:
        parts += ["## What it uses"]
    for name in page.things:
        parts += _thing(name)
    for path in page.modules:
        parts += [_prose(_module_doc(path)), _public_names(path)]
    titles = {other.name: other.title for other in (*KINDS, RUN)}
    parts += ["## See also", ", ".join(f"[{titles[name]}]({name}.md)" for name in page.see) + "."]
    return "\n\n".join(part for part in [*parts, MADE] if part) + "\n"


def _index() -> str:
    rows = [f"| [{page.title}]({page.name}.md) | {_hooks_cell(page)} | {page.lead} |" for page in KINDS]
    parts = [
        "# Reference: kinds of extensions",
        _prose(_module_doc(HOOKS)),
        "\n".join(["| kind | implement | what it is |", "|---|---|---|", *rows]),
        IMPORTS,
        MADE,
    ]
    return "\n\n".join(parts) + "\n"


def _hooks_cell(page: Page) -> str:
    return "<br>".join(f"`{name}`" for name in page.hooks)


def _example(page: Page) -> Iterator[str]:
    """The example's own words, then its code."""
    source = page.example.read_text("utf-8")
    yield _prose(ast.get_docstring(ast.parse(source)))
    for name in (page.example.name, *page.more):
        text = (EXAMPLES / name).read_text("utf-8")
        if name.endswith(".py"):
            text = re.sub(r'\A""".*?"""\n+', "", text, flags=re.DOTALL)
        yield f"`docs/examples/{name}`:"
        yield _code({".py": "python", ".md": "markdown"}[Path(name).suffix], text)


def _thing(name: str) -> Iterator[str]:
    """A class, a function or a named value, with what it says of itself."""
    [path] = [path for path in SOURCES if name in _nodes(path)]
    node = _nodes(path)[name]
    yield f"### `{name}`"
    if isinstance(node, ast.ClassDef):
        yield _prose(ast.get_docstring(node))
        yield from _members(node)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        yield _code("python", ast.unparse(node))
        yield _prose(_said_after(path, node))
    else:
        yield _code("python", _signature(node))
        yield _prose(ast.get_docstring(node))


def _members(node: ast.ClassDef) -> Iterator[str]:
    """The fields of a class as one block, its methods each with what they say."""
    fields = [ast.unparse(item) for item in node.body if isinstance(item, ast.AnnAssign) and _public(item.target)]
    if fields:
        yield _code("python", "\n".join(fields))
    for method in _methods(node):
        said = _prose(ast.get_docstring(method))
        yield _code("python", _signature(method, method=True)) + ("\n\n" + said if said else "")


def _methods(node: ast.ClassDef) -> Sequence[ast.FunctionDef | ast.AsyncFunctionDef]:
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [method for method in methods if not method.name.startswith("_")]


def _public(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and not target.id.startswith("_")


def _public_names(path: str) -> str:
    """The classes of a module, or what it takes from others to pass on, each with the first line it says of itself."""
    homes = {name: path for name, node in _nodes(path).items() if isinstance(node, ast.ClassDef)} or _imports(path)
    rows = [f"| `{name}` | {_first_line(home, name)} |" for name, home in homes.items()]
    return "\n".join(["| name | what it is |", "|---|---|", *rows])


def _imports(path: str) -> Mapping[str, str]:
    """The names that a module imports, with the sources they come from."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: f"{str(node.module).replace('.', '/')}.py" for node in found for alias in node.names}


def _first_line(path: str, name: str) -> str:
    node = _nodes(path)[name]
    said = ast.get_docstring(node) if isinstance(node, Node) else _said_after(path, node)
    return _prose((said or "").partition("\n")[0])


def _said_after(path: str, node: ast.stmt) -> str:
    """The string below an assignment, which says what it is."""
    body = ast.parse((ROOT / path).read_text("utf-8")).body
    following = {one.lineno: other for one, other in pairwise(body)}
    after = following.get(node.lineno)
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
        return textwrap.dedent(after.value.value)
    return ""


@cache
def _nodes(path: str) -> Mapping[str, Node | ast.Assign | ast.AnnAssign]:
    """The top-level classes, functions and named values of a source."""
    found: dict[str, Node | ast.Assign | ast.AnnAssign] = {}
    for node in ast.parse((ROOT / path).read_text("utf-8")).body:
        if isinstance(node, Node):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Sequence[str]:
    """The names of a function's decorators."""
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
    return [mark.id for mark in marks if isinstance(mark, ast.Name)]


def _module_doc(path: str) -> str | None:
    return ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8")))


def _signature(node: ast.AST, *, method: bool = False) -> str:
    """A function's head; on several lines where one would be too long."""
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    marks = [mark for mark in _marks(node) if mark != "hookspec"]
    head = f"{'async ' if isinstance(node, ast.AsyncFunctionDef) else ''}def {node.name}"
    gives = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{head}({ast.unparse(node.args)}){gives}"
    if len(line) > WIDTH:
        arguments = re.split(r", (?=[\w*]+(?::|,|=|$))", ast.unparse(node.args))
        line = f"{head}(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){gives}"
    return "\n".join([*(f"@{mark}" for mark in marks if method), line])


def _code(language: str, text: str) -> str:
    longest = max((len(run) for run in re.findall(r"^`{3,}", text, re.MULTILINE)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _prose(text: str | None) -> str:
    """A docstring as Markdown: literals, roles, indented programs and the sections of arguments and errors."""
    if not text:
        return ""
    text = re.sub(r":\w+:`~?([^`]+)`", lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    text = text.replace("``", "`")
    text = re.sub(r"^(Args|Raises|Returns|Yields):\n((?:[ ]{4}.*\n?)+)", _section, text, flags=re.MULTILINE)
    return re.sub(r"::\n\n((?:    .*\n?|\n)+)", _program, text).rstrip()


def _section(found: re.Match[str]) -> str:
    items = re.sub(r"^(\w+): ", r"- `\1`: ", textwrap.dedent(found[2]), flags=re.MULTILINE)
    return f"{found[1]}:\n\n{items}"


def _program(found: re.Match[str]) -> str:
    body = textwrap.dedent(found[1]).strip("\n")
    language = "toml" if body.startswith("[") else "python"
    return f":\n\n```{language}\n{body}\n```\n\n"


def main() -> int:
    """Write the pages that changed, remove those of no kind."""
    wanted = pages()
    REFERENCE.mkdir(exist_ok=True)
    for path in sorted({*REFERENCE.glob("*.md"), *wanted}):
        if path not in wanted:
            path.unlink()
        elif not path.exists() or path.read_text("utf-8") != wanted[path]:
            path.write_text(wanted[path], "utf-8")
        else:
            continue
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
