"""Every way in which an installed plugin may be wrong, and the state and stage that the host must list it with.

Two faults are missing on purpose: a module that calls ``os._exit`` takes any process with it, and one that raises
KeyboardInterrupt ends the command, as Ctrl-C would.
"""

from __future__ import annotations

from tests.host.synthetic import PLAIN, TOOL, Synthetic

IMPORT = "from llmos_core import hookimpl\n"


def hook(name: str, body: str, head: str = "") -> str:
    """A module with one hook."""
    return f"{IMPORT}{head}\n@hookimpl\ndef {name}():\n    {body}\n"


def at_import(name: str, source: str | bytes | None, error: str, **fields: str) -> Synthetic:
    return Synthetic(name, source, "broken", "import", error, **fields)  # type: ignore[arg-type]


def at_register(name: str, source: str, error: str) -> Synthetic:
    return Synthetic(name, IMPORT + source, "broken", "register", error)


def in_hook(name: str, kind: str, body: str, error: str, head: str = "") -> Synthetic:
    return Synthetic(name, hook(kind, body, head), "broken", kind, error)


def in_settings(name: str, body: str, error: str, head: str = "") -> Synthetic:
    return Synthetic(name, hook("llmos_settings", body, head), "broken", "settings", error)


def in_metadata(name: str, error: str = "", **fields: bytes | None) -> Synthetic:
    return Synthetic(name, PLAIN, "broken", "metadata", error, **fields)  # type: ignore[arg-type]


MUTE = """
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")
    __repr__ = __str__
raise Mute
"""

IMPORTS = [
    at_import("raises", "raise RuntimeError('at import')", "RuntimeError: at import"),
    at_import("needs", "import no_such_thing", "no_such_thing"),
    at_import("gone", None, "gone"),
    at_import("syntax", "def (", "SyntaxError"),
    at_import("nulls", b"x = 1\0", "null bytes"),
    at_import("latin", b"x = 'caf\xe9'\n", "SyntaxError"),
    at_import("beyond", "from ... import x", "ImportError"),
    at_import("leaves", "raise SystemExit(3)", "SystemExit"),
    at_import("leaves-well", "import sys; sys.exit()", "SystemExit"),
    at_import("sleeps", "import time; time.sleep(1e6)", "answer"),
    at_import("spins", "while True: pass", "answer"),
    at_import("recurses", "def f(): f()\nf()", "RecursionError"),
    at_import("mute", MUTE, "Mute"),
    at_import("group", "raise ExceptionGroup('all', [ValueError('one')])", "ExceptionGroup"),
    at_import("escapes", "raise ValueError('\\x1b[31mred\\nand more')", "and more"),
    at_import("attribute", PLAIN, "nothing_there", value="attribute:nothing_there"),
    at_import("dynamic", "def __getattr__(name): raise SystemExit(2)", "SystemExit", value="dynamic:plugin"),
    at_import("part", PLAIN, "part.missing", value="part.missing"),
]

REGISTERED = [
    at_register("misspelt", "@hookimpl\ndef llmos_tolls(): return []", "llmos_tolls"),
    at_register("unmarked", "def llmos_tools(): return []", "@hookimpl"),
    at_register("arguments", "@hookimpl\ndef llmos_event(evnt): ...", "evnt"),
    at_register("wrapper", "@hookimpl(wrapper=True)\ndef llmos_pre_tool_use(call): return (yield)", "wrapper"),
    at_register("old-wrapper", "@hookimpl(hookwrapper=True)\ndef llmos_event(event): yield", "wrapper"),
    at_register("generator", "@hookimpl\ndef llmos_pre_tool_use(call): yield None", "generator"),
    at_register("async-generator", "@hookimpl\nasync def llmos_pre_tool_use(call): yield None", "generator"),
]

LATE = "import time\ndef late():\n    yield from ()\n    time.sleep(1e6)\n    yield\n"
HALF = TOOL + "def half():\n    yield Tool('Half')\n    raise ValueError('half way')\n"
TWICE = "@hookimpl\ndef llmos_tools():\n    raise ValueError('the second')\n"
LOUD = "class Loud:\n    @property\n    def name(self): raise ValueError('no name')\n"

HOOKS = [
    in_hook("tools-raise", "llmos_tools", "raise ValueError('no tools')", "ValueError: no tools"),
    in_hook("tools-leave", "llmos_tools", "raise SystemExit(1)", "SystemExit"),
    in_hook("tools-spin", "llmos_tools", "while True: pass", "answer"),
    in_hook("tools-late", "llmos_tools", "return late()", "answer", LATE),
    in_hook("tools-number", "llmos_tools", "return 42", "int"),
    in_hook("tools-numbers", "llmos_tools", "return [42]", "int"),
    in_hook("tools-half", "llmos_tools", "return half()", "half way", HALF),
    in_hook("tools-class", "llmos_tools", "return [Tool]", "", TOOL),
    in_hook("tools-nameless", "llmos_tools", "return [Tool(5)]", "", TOOL),
    in_hook("tools-loud", "llmos_tools", "return [Loud()]", "", LOUD),
    in_hook("tools-input", "llmos_tools", "return [Tool('Inputless')]", "", TOOL + "Tool.input_model = int\n"),
    in_hook("agents-number", "llmos_agents", "return 5", "int"),
    in_hook("agents-wrong", "llmos_agents", "return [{'nme': 'x'}]", ""),
    in_hook("agents-gone", "llmos_agents", "return [Path('/no/such/agent.md')]", "", "from pathlib import Path"),
    in_hook("strategies-wrong", "llmos_strategies", "return ['AUTO']", "str"),
    in_hook("models-raise", "llmos_models", "raise KeyError('model')", "KeyError"),
    in_hook("models-wrong", "llmos_models", "return [object()]", "object"),
    in_hook("matchers-wrong", "llmos_matchers", "return {'a': 1}", "str"),
    in_hook("ledgers-wrong", "llmos_ledgers", "return [None]", "NoneType"),
    in_hook("backends-wrong", "llmos_memory_backends", "return [dict]", "type"),
    in_hook("twice", "llmos_strategies", "raise ValueError('the first')", "the first", TWICE),
    in_hook("natives-wrong", "llmos_native_tools", "return [1]", "int"),
]

STRICT = "from pydantic import BaseModel\nclass Kind(BaseModel):\n    needed: str\n"
RAISING = """
from pydantic import BaseModel, model_validator
class Kind(BaseModel):
    @model_validator(mode="after")
    def check(self):
        raise RuntimeError("in the model")
"""

SETTINGS = [
    in_settings("settings-number", "return 5", "5"),
    in_settings("settings-none", "return None", "None"),
    in_hook("settings-raise", "llmos_settings", "raise OSError('no settings')", "no settings"),
    in_hook("settings-leave", "llmos_settings", "raise SystemExit", "SystemExit"),
    in_hook("settings-sleep", "llmos_settings", "time.sleep(1e6)", "answer", "import time"),
    in_settings("settings-needed", "return Kind", "needed", STRICT),
    in_settings("settings-validator", "return Kind", "in the model", RAISING),
]


def two(kind: str, hook_name: str, items: str, head: str) -> list[Synthetic]:
    """Two plugins that contribute one name."""
    source = hook(hook_name, f"return [{items}]", head)
    return [Synthetic(f"{kind}-{which}", source, "conflict", hook_name, kind) for which in ("one", "two")]


STRATEGY = """
class Strategy:
    name = "SAMESTRATEGY"
    learns = False
    async def bid(self, task, run): raise AssertionError
    async def run(self, task, run): raise AssertionError
"""
AGENT = "from llmos_core import AgentSpec\nagent = AgentSpec(name='sameagent', description='x', system_prompt='x')\n"

CONFLICTS = [
    Synthetic("entry-one", PLAIN, "conflict", "name", "llmos-plugin-entry-two", entry="same-entry"),
    Synthetic("entry-two", PLAIN, "conflict", "name", "llmos-plugin-entry-one", entry="same-entry"),
    *two("sametool", "llmos_tools", "Tool('Sametool')", TOOL),
    *two("samestrategy", "llmos_strategies", "Strategy()", STRATEGY),
    *two("sameagent", "llmos_agents", "agent", AGENT),
]

INCOMPATIBLE = [
    Synthetic("newer", "raise RuntimeError", "incompatible", "metadata", ">=99", requires=("llmos-core>=99",)),
    Synthetic("older", "raise RuntimeError", "incompatible", "metadata", "<0.1", requires=("llmos-core<0.1",)),
    Synthetic("banana", "raise RuntimeError", "broken", "metadata", "banana", requires=("llmos-core>=banana",)),
]

HEAD = b"Metadata-Version: 2.1\n"
METADATA = [
    in_metadata("meta-none", metadata=None),
    in_metadata("meta-empty", metadata=b""),
    in_metadata("meta-folder", metadata=b"/"),
    in_metadata("meta-bytes", metadata=HEAD + b"Name: llmos-plugin-meta-bytes\nVersion: 1.0\nSummary: \xff\xfe\n"),
    in_metadata("meta-nameless", metadata=HEAD + b"Version: 1.0\n"),
    in_metadata("meta-versionless", metadata=HEAD + b"Name: llmos-plugin-meta-versionless\n"),
    in_metadata("points-garbage", points=b"no section\n[llmos.plugins]\njust words\n= nothing\npoints-garbage\n"),
    in_metadata("points-bytes", points=b"[llmos.plugins]\n\xff\xfe = \xff\n"),
    in_metadata("points-reference", points=b"[llmos.plugins]\npoints-reference = this is no: reference!\n"),
    in_metadata("points-nothing", points=b"[llmos.plugins]\npoints-nothing =\n"),
    Synthetic("points-empty", PLAIN, None, points=b""),
    Synthetic("points-folder", PLAIN, None, points=b"/"),
    Synthetic("points-none", PLAIN, None, points=None),
]

DISABLED = [
    Synthetic("off-by-name", "raise SystemExit", "disabled"),
    Synthetic("off-by-distribution", "raise SystemExit", "disabled", entry="off-distribution"),
    Synthetic("off-by-id", "raise SystemExit", "disabled", entry="off-id"),
    Synthetic("off-newer", "raise SystemExit", "disabled", requires=("llmos-core>=99",)),
]
DISABLING = ["off-by-name", "llmos-plugin-off-by-distribution", "llmos-plugin-off-by-id/off-id", "off-newer"]

MEDDLES = """
import os, sys, signal
os.environ["LLMOS_WORKSPACE"] = "/no/such/place"
os.chdir("/")
sys.path.insert(0, "/no/such/place")
"""
PRINTS = "import os, sys\nprint('printed at import')\nsys.stdout.write('printed at import')\n"
OBSERVES = IMPORT + "@hookimpl\nasync def llmos_event(event):\n    raise RuntimeError('blind')\n"

HARMLESS = [
    Synthetic("plain", PLAIN, "ok"),
    Synthetic("prints", PRINTS + PLAIN, "ok"),
    Synthetic("warns", "import warnings; warnings.warn('beware', DeprecationWarning)\n" + PLAIN, "ok"),
    Synthetic("meddles", MEDDLES + PLAIN, "ok"),
    Synthetic("observes", OBSERVES, "ok"),
]

ALL = [*IMPORTS, *REGISTERED, *HOOKS, *SETTINGS, *CONFLICTS, *INCOMPATIBLE, *METADATA, *DISABLED, *HARMLESS]
HANGING = [synthetic.plugin for synthetic in ALL if synthetic.error == "answer"]
LISTED = [synthetic for synthetic in ALL if synthetic.state is not None]
UNSOUND = [synthetic for synthetic in LISTED if synthetic.state not in ("ok", "disabled")]
