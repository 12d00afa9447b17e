"""Python code, judged on its own syntax tree."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from llmos_plugin_security.addresses import is_here, is_metadata
from llmos_plugin_security.values import NAME, NETWORK, SOME, STAR, TEMPORARY, UNKNOWN, is_open

if TYPE_CHECKING:
    from llmos_plugin_security.shell import Shell

MAX_CHARS = 20_000
_RUNS_TEXT = {
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "commands.getoutput",
    "pty.spawn",
    "asyncio.create_subprocess_shell",
}
_RUNS = {
    "subprocess.run",
    "subprocess.call",
    "subprocess.check_call",
    "subprocess.check_output",
    "subprocess.Popen",
    "os.execv",
    "os.execvp",
    "os.execl",
    "os.execlp",
    "os.execve",
    "os.execvpe",
    "os.spawnv",
    "os.spawnl",
    "os.spawnlp",
    "os.spawnvp",
    "os.posix_spawn",
    "asyncio.create_subprocess_exec",
}
_DELETES = {"os.remove", "os.unlink", "os.rmdir", "os.removedirs", "shutil.rmtree", "send2trash.send2trash"}
_WRITES = {
    "os.mkdir",
    "os.makedirs",
    "os.chmod",
    "os.chown",
    "os.truncate",
    "os.mknod",
    "os.open",
    "os.utime",
    "os.lchown",
    "os.mkfifo",
    "zipfile.ZipFile",
    "sqlite3.connect",
}
_PAIRS = {
    "os.rename",
    "os.replace",
    "shutil.move",
    "shutil.copy",
    "shutil.copy2",
    "shutil.copyfile",
    "shutil.copytree",
    "os.symlink",
    "os.link",
}
_PATH_DELETES = {"unlink", "rmdir", "rmtree"}
_PATH_WRITES = {
    "write_text",
    "write_bytes",
    "touch",
    "mkdir",
    "chmod",
    "symlink_to",
    "hardlink_to",
    "rename",
    "replace",
}
_HIDES = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "importlib.import_module",
    "getattr",
    "globals",
    "vars",
    "marshal.loads",
    "pickle.loads",
    "runpy.run_path",
    "ctypes.CDLL",
    "ctypes.cdll",
    "builtins.exec",
    "builtins.eval",
    "setattr",
}
_NETWORK = (
    "socket.",
    "urllib.request.",
    "requests.",
    "http.client.",
    "httpx.",
    "ftplib.",
    "smtplib.",
    "aiohttp.",
    "telnetlib.",
    "paramiko.",
    "urllib.urlopen",
    "urllib2.",
)
_TEMPORARY = {"tempfile.mkdtemp", "tempfile.mktemp", "tempfile.TemporaryDirectory", "tempfile.gettempdir"}
_FETCHES = {
    *(f"{package}.{verb}" for package in ("requests", "httpx") for verb in ("get", "head", "post", "put", "patch")),
    "urllib.request.urlopen",
}
_SENDS = (".post", ".put", ".patch")
_DANGEROUS = {"os.kill", "os.killpg", "os.setuid", "os.fork", "signal.pthread_kill"}


def judge(shell: Shell, text: str) -> None:
    """Judge Python code: what it runs, deletes, writes, reads and hides."""
    if len(text) > MAX_CHARS:
        shell.find("too-large", text)
        return
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        if re.search(r"\b(?:os|subprocess|shutil|exec|eval|open|import)\b", text):
            shell.find("undecided-code", text, "it is no Python that can be read")
        return
    code = _Code(shell, text)
    code.visit(tree)
    for path in code.written if code.fetches else ():
        shell.scope.files[shell.at(path).path] = NETWORK


def _is_said(argument: ast.keyword) -> bool:
    """Whether an argument is written out."""
    try:
        ast.literal_eval(argument.value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


class _Code(ast.NodeVisitor):
    def __init__(self, shell: Shell, text: str) -> None:
        self.shell = shell
        self.text = text
        self.names: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.fetches = False
        self.written: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            self.names[name.asname or name.name.partition(".")[0]] = (
                name.name if name.asname else name.name.partition(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for name in node.names:
            self.names[name.asname or name.name] = f"{node.module}.{name.name}"

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            if isinstance(target, ast.Name):
                called = self._name(node.value)
                if called in _RUNS_TEXT | _RUNS | _DELETES | _HIDES:
                    self.names[target.id] = called
                self.values[target.id] = self._value(node.value)

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> None:
        for one in node.generators:
            self.visit(one)
        self.visit(node.elt)

    visit_GeneratorExp = visit_ListComp  # noqa: N815 - the names of ast
    visit_SetComp = visit_ListComp  # noqa: N815

    def _bind(self, target: ast.expr, values: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.values[target.id] = self._each(values)

    def _each(self, node: ast.expr) -> str:
        """One of the values that are gone through."""
        if isinstance(node, ast.Call):
            called = self._name(node.func)
            if called in {"os.listdir", "os.scandir", "os.walk"}:
                return f"{self._value(node.args[0]) if node.args else '.'}/{STAR}"
            if called in {"glob.glob", "glob.iglob"} and node.args:
                return self._value(node.args[0]).replace("*", STAR)
            if isinstance(node.func, ast.Attribute) and node.func.attr in {"glob", "rglob", "iterdir"}:
                pattern = self._value(node.args[0]) if node.args else "*"
                return f"{self._value(node.func.value)}/{SOME if pattern not in {'*', '**'} else STAR}"
        if isinstance(node, ast.List | ast.Tuple) and len(node.elts) == 1:
            return self._value(node.elts[0])
        return UNKNOWN

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.shell.commands.mentions(self.shell, node.value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        one = re.search(r"environ(?:\.get\(|\[|\.setdefault|\.pop)", self.text)
        if self._name(node) == "os.environ" and not one:
            self.shell.find("read-environment", self.text)
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            if isinstance(item.optional_vars, ast.Name):
                self.values[item.optional_vars.id] = self._value(item.context_expr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:  # noqa: C901 - one branch a kind of function
        name = self._name(node.func)
        arguments = node.args
        if name in _RUNS_TEXT or (name in _RUNS and self._shell(node)):
            self._run_text(arguments)
        elif name in _RUNS:
            self._run_words(arguments)
        elif name in _DELETES:
            self._touch(arguments[:1], "delete")
        elif name in _WRITES:
            self._touch(arguments[:1], "write")
        elif name in _PAIRS:
            self._touch(arguments[:2], "write")
        elif name in {"open", "io.open", "codecs.open"}:
            self._open(node)
        elif name in _HIDES and not (name in {"getattr", "setattr"} and self._plain_attribute(arguments)):
            self._hidden(name, arguments)
        elif name in _DANGEROUS:
            self.shell.find("signal-code", self.text)
        elif name.startswith(_NETWORK):
            self._network(name, node)
        elif isinstance(node.func, ast.Attribute):
            self._method(node.func, arguments)
        self.generic_visit(node)

    def _network(self, name: str, node: ast.Call) -> None:
        """Fetching from an address in sight is what ``curl`` may do; all else is asked about."""
        url = self._value(node.args[0]) if node.args else UNKNOWN
        if is_metadata(url):
            self.shell.find("metadata", url)
        in_sight = name in _FETCHES and not is_open(url) and url.startswith(("http://", "https://"))
        sends = len(node.args) > 1 or name.endswith(_SENDS) or not all(map(_is_said, node.keywords))
        if not in_sight or (sends and not is_here(url)):
            self.shell.find("network-code", self.text)
        self.fetches = True

    def _plain_attribute(self, arguments: list[ast.expr]) -> bool:
        return len(arguments) > 1 and not self._name(arguments[0]).startswith(
            ("os", "subprocess", "shutil", "builtins")
        )

    def _hidden(self, name: str, arguments: list[ast.expr]) -> None:
        text = self._value(arguments[0]) if arguments else ""
        if name in {"exec", "eval", "compile"} and not is_open(text):
            judge(self.shell, text)
        elif name in {"__import__", "importlib.import_module"} and text.partition(".")[0] in {
            "os",
            "subprocess",
            "shutil",
        }:
            return  # what is called on it is found by its name
        elif name in {"globals", "vars"}:
            return
        else:
            self.shell.find("undecided-code", self.text, f"{name} hides what is called")

    def _shell(self, node: ast.Call) -> bool:
        return any(key.arg == "shell" for key in node.keywords)

    def _run_text(self, arguments: list[ast.expr]) -> None:
        text = self._value(arguments[0]) if arguments else UNKNOWN
        self.shell.text(text, "Python runs")

    def _run_words(self, arguments: list[ast.expr]) -> None:
        first = arguments[0] if arguments else None
        if isinstance(first, ast.List | ast.Tuple):
            words = [self._value(one) for one in first.elts]
        else:
            words = [self._value(one) for one in arguments]
            rest = arguments[1] if len(arguments) > 1 else None
            if isinstance(rest, ast.List | ast.Tuple):
                words = [self._value(one) for one in rest.elts]
        if words and words[0]:
            self.shell.commands.run(self.shell, words, "")

    def _open(self, node: ast.Call) -> None:
        mode = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "mode"), None)
        said = "r" if mode is None else self._value(mode)
        if any(char in said for char in "wax+") or is_open(said):
            self._touch(node.args[:1], "write")
        elif node.args:
            self.shell.commands.reads(self.shell, self._value(node.args[0]), self.text)

    def _method(self, node: ast.Attribute, arguments: list[ast.expr]) -> None:
        value = self._value(node.value)
        if node.attr in _PATH_DELETES:
            self.shell.commands.deletes(self.shell, value, self.text)
        elif node.attr in _PATH_WRITES and (value != UNKNOWN or node.attr in {"write_text", "write_bytes"}):
            self._written(value)
        elif node.attr in {"system", "popen"}:
            self._run_text(arguments)
        elif node.attr in {"read_text", "read_bytes"}:
            self.shell.commands.reads(self.shell, value, self.text)

    def _touch(self, paths: list[ast.expr], effect: str) -> None:
        for path in paths:
            value = self._value(path)
            if effect == "delete":
                self.shell.commands.deletes(self.shell, value, self.text)
            else:
                self._written(value)

    def _written(self, path: str) -> None:
        self.shell.commands.writes(self.shell, path, self.text)
        self.written.append(path)

    # Values and names.

    def _name(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return f"{self._name(node.value)}.{node.attr}"
        if (
            isinstance(node, ast.Call)
            and self._name(node.func) in {"__import__", "importlib.import_module"}
            and node.args
        ):
            return self._value(node.args[0])
        if isinstance(node, ast.Call) and self._name(node.func) == "getattr" and len(node.args) > 1:
            return f"{self._name(node.args[0])}.{self._value(node.args[1])}"
        return ""

    def _value(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.Name):
            return self.values.get(node.id, UNKNOWN)
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        if isinstance(node, ast.JoinedStr):
            return "".join(self._value(one) for one in node.values)
        if isinstance(node, ast.FormattedValue):
            return self._value(node.value)
        if isinstance(node, ast.Call):
            return self._called(node)
        return UNKNOWN

    def _operation(self, node: ast.BinOp) -> str:
        left, right = self._value(node.left), self._value(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Div):
            return right if right.startswith("/") else f"{left}/{right}"
        return UNKNOWN

    def _called(self, node: ast.Call) -> str:
        name = self._name(node.func)
        values = [self._value(one) for one in node.args]
        if name in {"pathlib.Path", "pathlib.PurePath", "os.path.join", "pathlib.PosixPath"}:
            path = "."
            for value in values:
                path = value if value.startswith("/") else value if path == "." else f"{path}/{value}"
            return path
        if name in {"os.path.expanduser", "os.path.abspath", "os.path.realpath", "os.fspath", "str"} and values:
            return self._home(values[0])
        if name in _TEMPORARY:
            return f"/{TEMPORARY}" + ("" if name == "tempfile.gettempdir" else f"/{NAME}")
        if name == "pathlib.Path.home":
            return self.shell.home
        if name in {"os.getcwd", "pathlib.Path.cwd"}:
            return self.shell.directory
        if name in {"os.environ.get", "os.getenv"} and values[:1] == ["HOME"]:
            return self.shell.home
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"expanduser", "resolve", "absolute"}:
            return self._home(self._value(node.func.value))
        return UNKNOWN

    def _home(self, path: str) -> str:
        return self.shell.home + path[1:] if path == "~" or path.startswith("~/") else path
