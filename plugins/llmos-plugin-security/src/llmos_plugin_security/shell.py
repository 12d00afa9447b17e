"""A shell that does nothing: it walks the syntax tree in the order of execution and looks at every command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llmos_plugin_security import parse, rules
from llmos_plugin_security.parse import source
from llmos_plugin_security.places import World
from llmos_plugin_security.state import ShellState
from llmos_plugin_security.values import ENDLESS, NETWORK, OUTPUT, UNKNOWN, as_text, is_open, runs_more
from llmos_plugin_security.words import Words

if TYPE_CHECKING:
    from tree_sitter import Node

    from llmos_plugin_security.commands_judged import Commands

MAX_ROUNDS = 64
"""How many values of a loop are looked at one by one."""

_NUMBERED = re.compile(r"\d+")
_WRITING = {">", ">>", ">|", "&>", "&>>", "<>", ">&"}
_NO_STATEMENT = {"comment", "heredoc_body", "heredoc_end", "heredoc_start", "variable_name", "word", "test_operator"}


class Shell(ShellState):
    """Judges text as bash. What it finds is in ``findings``; nothing is executed."""

    def __init__(self, world: World, commands: Commands) -> None:
        super().__init__(world, commands)
        self.words = Words(self)

    def assign(self, name: str, value: str) -> None:
        """Set a variable; those that make programs load or run something are judged."""
        self.commands.variable(self, name, value)
        self.scope.variables[name] = value
        self.scope.arrays.pop(name, None)

    def substitute(self, node: Node) -> str:
        inner = [child for child in node.named_children if child.type != "file_redirect"]
        with self.within("$(...)"), self.subshell():
            if not inner and node.named_children:  # $(< file)
                return self._input(self.words.scalar(node.named_children[0].named_children[-1]))
            if self._is_backquoted(node) and "\\" in source(node):
                return self.text(re.sub(r"\\([`$\\])", r"\1", source(node)[1:-1]), "`...`").rstrip("\n")
            return "".join(self.run(child, self.stdin) for child in inner).rstrip("\n")

    @staticmethod
    def _is_backquoted(node: Node) -> bool:
        return source(node).startswith("`")

    def process(self, node: Node) -> str:
        if source(node).startswith(">") and self._writes_nothing(node):
            self.find("hidden-command", source(node))
        self._substitutions += 1
        path = f"/dev/fd/{self._substitutions + 60}"
        with self.within("<(...)"), self.subshell():
            text = "".join(self.run(child, stdin=OUTPUT) for child in node.named_children)
        self.scope.files[path] = text if source(node).startswith("<") else OUTPUT
        return path

    @staticmethod
    def _writes_nothing(node: Node) -> bool:
        """Whether a process that waits for input stands among the words of a command that takes no files."""
        command = node.parent
        while command is not None and command.type not in {"command", "file_redirect", "program"}:
            command = command.parent
        if command is None or command.type != "command":
            return False
        name = command.child_by_field_name("name")
        profile = rules.profiles().get("" if name is None else source(name), {})
        return profile.get("operands") == "text"

    # Statements.

    def text(self, text: str, what: str, stdin: str = "") -> str:
        """Judge a text as shell, within another command or as the whole. Gives what it prints."""
        if is_open(text):
            self.find("code-from-network" if NETWORK in text else "undecided-code", text, what)
            return OUTPUT
        try:
            root = parse.parse(as_text(text), self.until)
        except parse.Unparseable as error:
            self.find(error.rule, text, str(error))
            return OUTPUT
        with self.within(what):
            return self.run(root, stdin)

    def run(self, node: Node, stdin: str = "") -> str:
        """Judge a node. Gives what it prints."""
        self.step()
        method = getattr(self, f"_{node.type}", None)
        if method is not None:
            printed: str = method(node, stdin)
            return printed
        if node.type in _NO_STATEMENT or not node.named_children:
            return ""
        if node.type.endswith(("_expression", "_literal")) or node.type in _WORDS:
            self.words.fields(node)
            return ""
        return self._sequence(node, stdin)

    def _sequence(self, node: Node, stdin: str) -> str:
        return "".join(self.run(child, stdin) for child in node.named_children)

    def _optional(self, nodes: Sequence[Node], stdin: str) -> str:
        """What may run or not."""
        before = self.scope.copy()
        printed = "".join(self.run(child, stdin) for child in nodes)
        self.scope.join(before, self.world.real_root)
        return printed

    def _program(self, node: Node, stdin: str) -> str:
        return self._joined_lists(node, stdin)

    def _joined_lists(self, node: Node, stdin: str) -> str:
        printed = ""
        for child in node.named_children:
            before = self.scope.copy() if child.type == "list" else None
            printed += self.run(child, stdin)
            if before is not None:
                self.scope.join(before, self.world.real_root)
        return printed

    _compound_statement = _do_group = _joined_lists

    def _subshell(self, node: Node, stdin: str) -> str:
        with self.within("( ... )"), self.subshell():
            return self._joined_lists(node, stdin)

    def _if_statement(self, node: Node, stdin: str) -> str:
        return self._optional(node.named_children, stdin)

    _elif_clause = _else_clause = _case_item = _if_statement

    def _case_statement(self, node: Node, stdin: str) -> str:
        printed = ""
        for child in node.named_children:
            printed += self._optional([child], stdin) if child.type == "case_item" else self.run(child, stdin)
        return printed

    def _while_statement(self, node: Node, stdin: str) -> str:
        with self.within("loop"):
            self._optional(node.named_children, stdin)
            return self._optional(node.named_children, stdin)

    _c_style_for_statement = _while_statement

    def _for_statement(self, node: Node, stdin: str) -> str:
        name = source(node.child_by_field_name("variable") or node.named_children[0])
        body = node.child_by_field_name("body")
        values = [word for child in node.children_by_field_name("value") for word in self.words.fields(child)]
        if not node.children_by_field_name("value"):
            values = list(self.scope.arguments)
        if len(set(values)) > MAX_ROUNDS:
            values = [UNKNOWN]
        printed = ""
        with self.within(f"for {name}"):
            for value in dict.fromkeys(values):
                self.scope.variables[name] = value
                if body is not None:
                    for _ in range(2):  # what one round assigns, the next one uses
                        printed = self._optional([body], stdin)
        return OUTPUT if printed else ""

    def _function_definition(self, node: Node, stdin: str) -> str:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            self.scope.functions[source(name)] = body
        return ""

    def _negated_command(self, node: Node, stdin: str) -> str:
        return self._sequence(node, stdin)

    def _pipeline(self, node: Node, stdin: str) -> str:
        stages = [child for child in node.named_children if child.type != "comment"]
        for at, stage in enumerate(stages):
            with self.within(f"stage {at + 1} of a pipe"), self.subshell():
                stdin = self.run(stage, stdin)
        return stdin

    def _redirected_statement(self, node: Node, stdin: str) -> str:
        return self._redirected(node.child_by_field_name("body"), node.children_by_field_name("redirect"), stdin)

    def _redirected(self, body: Node | None, redirects: Sequence[Node], stdin: str) -> str:
        """A redirection belongs to the last command of what the grammar takes for its body."""
        parts = [] if body is None else [child for child in body.named_children if child.type != "comment"]
        if body is not None and body.type == "list" and parts:
            printed = "".join(self.run(child, stdin) for child in parts[:-1])
            return printed + self._redirected(parts[-1], redirects, stdin)
        if body is not None and body.type == "pipeline" and parts:
            for child in parts[:-1]:
                with self.within("stage of a pipe"), self.subshell():
                    stdin = self.run(child, stdin)
            with self.within("last stage of a pipe"), self.subshell():
                return self._redirected(parts[-1], redirects, stdin)
        outputs, stdin, after = self._redirects(redirects, stdin)
        printed = self._written("" if body is None else self.run(body, stdin), outputs)
        for child in after:
            with self.within("after a here-document"):
                printed = self.run(child, printed)
        return printed

    def _redirects(self, redirects: Sequence[Node], stdin: str) -> tuple[list[tuple[str, bool]], str, list[Node]]:
        """The files written (path, appended), what is read, and the commands that the grammar puts among them."""
        outputs: list[tuple[str, bool]] = []
        after: list[Node] = []
        for redirect in redirects:
            if redirect.type == "herestring_redirect":
                stdin = self.words.scalar(redirect.named_children[-1]) + "\n"
            elif redirect.type == "heredoc_redirect":
                inner, stdin, more = self._heredoc(redirect)
                outputs += inner
                after += more
            elif redirect.type == "file_redirect":
                read = self._file_redirect(redirect, outputs)
                stdin = stdin if read is None else read
        return outputs, stdin, after

    def _heredoc(self, node: Node) -> tuple[list[tuple[str, bool]], str, list[Node]]:
        start = next((source(child) for child in node.named_children if child.type == "heredoc_start"), "")
        body = next((child for child in node.named_children if child.type == "heredoc_body"), None)
        literal = any(char in start for char in "'\"\\")
        text = "" if body is None else source(body) if literal else self.words.inner(body)
        inner = [child for child in node.named_children if child.type.endswith("_redirect")]
        outputs, text, more = self._redirects(inner, text)
        known = {"heredoc_start", "heredoc_body", "heredoc_end", "file_descriptor"}
        for child in node.named_children:
            if child.type.endswith("_redirect") or child.type in known:
                continue
            if child.type in _WORDS:  # an argument of the command, which stands behind the here-document
                self.commands.operand(self, "here-document", self.words.scalar(child))
            else:
                more.append(child)
        return outputs, text, more

    def _file_redirect(self, node: Node, outputs: list[tuple[str, bool]]) -> str | None:
        """Judge a redirection to or from a file; gives the text of the file that is read."""
        operator = next((source(child) for child in node.children if not child.is_named), "")
        descriptor = next((source(child) for child in node.named_children if child.type == "file_descriptor"), "")
        read = None
        for destination in node.children_by_field_name("destination"):
            path = self.words.scalar(destination)
            if _NUMBERED.fullmatch(path) or path == "-":
                continue
            if operator in _WRITING or operator.startswith(">"):
                self.commands.writes(self, path, f"{operator} {path}")
                if descriptor in {"", "1"}:
                    outputs.append((path, ">>" in operator))
            else:
                read = self._input(path)
        return read

    def _input(self, path: str) -> str:
        self.commands.reads(self, path, f"< {path}")
        return self.scope.files.get(self.at(path).path, OUTPUT)

    def _written(self, printed: str, outputs: Sequence[tuple[str, bool]]) -> str:
        for path, appended in outputs:
            place = self.at(path).path
            if ENDLESS in printed and self.at(path).kind != "harmless":
                self.find("endless", f"> {path}")
            self.scope.files[place] = (self.scope.files.get(place, "") if appended else "") + printed
        return "" if outputs else printed

    # Simple commands.

    def _variable_assignment(self, node: Node, stdin: str) -> str:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None:
            return ""
        self.words.visit(name)
        if value is not None and value.type == "array":
            values = [word for child in value.named_children for word in self.words.fields(child)]
            self.scope.arrays[source(name)] = values
            self.scope.variables.pop(source(name), None)
            return ""
        text = "" if value is None else self.words.scalar(value)
        if "+=" in source(node)[: len(source(name)) + 2]:
            text = (self.value(source(name)) or "") + text
        self.assign(source(name).partition("[")[0], UNKNOWN if "[" in source(name) else text)
        return ""

    def _declaration_command(self, node: Node, stdin: str) -> str:
        words: list[str] = []
        for child in node.children:
            if child.type == "variable_assignment":
                self.run(child)
            else:
                words += self.words.fields(child) if child.is_named else [source(child)]
        return self.commands.run(self, words, stdin)

    def _unset_command(self, node: Node, stdin: str) -> str:
        words = [word for child in node.named_children for word in self.words.fields(child)]
        for name in words:
            self.scope.variables[name] = ""
        return self.commands.run(self, ["unset", *words], stdin)

    def _test_command(self, node: Node, stdin: str) -> str:
        parts = re.split("['\"]", source(node))[1:]
        if any(runs_more(part.partition("[")[2]) for part in parts):
            self.find("undecided-code", source(node), "a subscript may run commands")
        self.words.visit(node)  # only what is substituted within a test is executed
        return ""

    def _command(self, node: Node, stdin: str) -> str:
        redirects = [child for child in node.named_children if child.type.endswith("_redirect")]
        outputs, stdin, after = self._redirects(redirects, stdin)
        self.stdin = stdin
        words: list[str] = []
        assigned: list[Node] = []
        for child in node.named_children:
            if child.type == "variable_assignment":
                assigned.append(child)
            elif child.type in _WORDS or child.type == "command_name":
                words += self._command_words(child)
            elif not child.type.endswith("_redirect"):
                self.run(child, stdin)  # after `time` and `coproc` the grammar takes a subshell for an argument
        with self._assigned(assigned, lasting=not words):
            printed = self.commands.run(self, words, stdin) if words else ""
        printed = self._written(printed, outputs)
        for child in after:
            printed = self.run(child, printed)
        return printed

    def _command_words(self, node: Node) -> list[str]:
        if node.type != "command_name":
            return self.words.fields(node)
        return [word for child in node.named_children for word in self.words.fields(child)]

    @contextmanager
    def _assigned(self, nodes: Sequence[Node], *, lasting: bool) -> Iterator[None]:
        before = dict(self.scope.variables)
        for node in nodes:
            self._variable_assignment(node, "")
        yield
        if nodes and not lasting:
            self.scope.variables = before

    def call(self, name: str, arguments: list[str], stdin: str) -> str:
        """Run a function that the command has defined."""
        body = self.scope.functions[name]
        if body.id in self.stack:
            text = source(body)
            if "|" in text or "&" in text:
                self.find("fork-bomb", f"{name}() {text}")
            return OUTPUT
        outer, self.scope.arguments = self.scope.arguments, arguments
        self.stack.append(body.id)
        try:
            with self.within(f"{name}()"):
                return self.run(body, stdin)
        finally:
            self.stack.pop()
            self.scope.arguments = outer


_WORDS = {
    "word",
    "string",
    "raw_string",
    "ansi_c_string",
    "translated_string",
    "concatenation",
    "simple_expansion",
    "expansion",
    "command_substitution",
    "process_substitution",
    "arithmetic_expansion",
    "brace_expression",
    "number",
    "regex",
    "extglob_pattern",
}
