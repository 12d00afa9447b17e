"""Ways in which a plugin goes wrong, each with what a host must make of it: for tests that go through all of them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from llmos_testkit.distributions import PluginDistribution, PluginDistributions

_IMPORT = "from llmos_core import ToolResult, Verdict, hookimpl\n"
_HANG = """
import time
from pathlib import Path

def hang():
    while Path(__file__).exists():  # until the distribution is removed
        time.sleep(0.01)
"""


def _guard(body: str, head: str = "", define: str = "async def") -> str:
    return f"{_IMPORT}{head}\n@hookimpl\n{define} llmos_pre_tool_use(call):\n    {body}\n"


def _hook(name: str, body: str, head: str = "", mark: str = "@hookimpl", arguments: str = "") -> str:
    return f"{_IMPORT}{head}\n{mark}\ndef {name}({arguments}):\n    {body}\n"


_STRICT = "from pydantic import BaseModel\nclass Strict(BaseModel):\n    needed: str\n"

Shows = Literal["at load", "at a call", "by interrupt"]


class Fault(Enum):
    """A fault of a plugin.

    ``source`` is the module that has it. ``state`` and ``stage`` are what the host must list, ``error`` a part of what
    it must tell. ``shows`` says when: ``at load``; ``at a call``, where a guard that fails in this way must deny it;
    or ``by interrupt``, where it is the user's Ctrl-C, which passes.
    Faults that hang do so until their distribution is removed; give the host ``settings={"limits":
    {"plugin_timeout_s": 0.2, "guard_timeout_s": 0.2}}`` to wait less.

    Example::

        @pytest.mark.parametrize("fault", Fault.shown("at load"))
        def test_it_is_listed(fault, llmos_host, plugin_distribution):
            fault.install(plugin_distribution)
            [info] = [info for info in llmos_host(discover=True).plugins if info.name == fault.plugin]
            assert (info.state, info.stage) == (fault.state, fault.stage)

    """

    IMPORT_ERROR = (f"{_IMPORT}import no_such_module_anywhere", "import", "no_such_module_anywhere")
    SYNTAX_ERROR = ("def (", "import", "SyntaxError")
    RAISES_AT_IMPORT = ("raise RuntimeError('at import')", "import", "RuntimeError: at import")
    EXITS_AT_IMPORT = ("raise SystemExit(3)", "import", "SystemExit: 3")
    HANGS_AT_IMPORT = (f"{_HANG}\nhang()", "import", "no answer within")
    INTERRUPTED_AT_IMPORT = ("raise KeyboardInterrupt", "import", "", "by interrupt")

    MISSPELT_HOOK = (_hook("llmos_pre_tool_us", "...", arguments="call"), "register", "no hook named llmos_pre_tool_us")
    UNMARKED_HOOK = (_hook("llmos_pre_tool_use", "...", mark="", arguments="call"), "register", "lacks the mark")
    WRONG_ARGUMENT = (_hook("llmos_event", "...", arguments="evnt"), "register", "evnt")
    WRAPPER_HOOK = (
        _hook("llmos_pre_tool_use", "return (yield)", mark="@hookimpl(wrapper=True)", arguments="call"),
        "register",
        "wrapper",
    )

    BAD_METADATA = (_hook("llmos_tools", "return []"), "metadata", "")
    NEWER_CORE = ("raise RuntimeError", "metadata", ">=99", "at load", "incompatible")

    NO_SETTINGS_MODEL = (_hook("llmos_settings", "return 5"), "settings", "5 is no settings model")
    SETTINGS_WITHOUT_DEFAULT = (_hook("llmos_settings", "return Strict", _STRICT), "settings", "needed")

    CONTRIBUTION_RAISES = (_hook("llmos_tools", "raise ValueError('no tools')"), "llmos_tools", "ValueError: no tools")
    CONTRIBUTION_EXITS = (_hook("llmos_tools", "raise SystemExit(4)"), "llmos_tools", "SystemExit: 4")
    CONTRIBUTION_HANGS = (_hook("llmos_tools", "hang()", _HANG), "llmos_tools", "no answer within")
    CONTRIBUTION_OF_WRONG_TYPE = (_hook("llmos_tools", "return [42]"), "llmos_tools", "int is no Tool")

    GUARD_RAISES = (_guard("raise RuntimeError('in the guard')"), None, "RuntimeError: in the guard", "at a call")
    GUARD_EXITS = (_guard("raise SystemExit(5)"), None, "SystemExit: 5", "at a call")
    GUARD_HANGS = (_guard("await anyio.sleep_forever()", "import anyio"), None, "TimeoutError", "at a call")
    GUARD_BLOCKS_ITS_THREAD = (_guard("hang()", _HANG, "def"), None, "TimeoutError", "at a call")
    GUARD_BLOCKS_THE_LOOP = (_guard("time.sleep(1)", "import time"), None, "TimeoutError", "at a call")
    GUARD_ANSWERS_NONSENSE = (_guard("return True"), None, "answered bool, not a Verdict", "at a call")

    def __init__(
        self, source: str, stage: str | None, error: str, shows: Shows = "at load", state: str | None = None
    ) -> None:
        self.source = source
        self.stage = stage
        self.error = error
        self.shows = shows
        self.state = state or ("ok" if shows == "at a call" else "broken")

    @property
    def plugin(self) -> str:
        """The name of its plugin."""
        return self.name.lower().replace("_", "-")

    @property
    def distribution(self) -> str:
        """The name of its distribution."""
        return f"llmos-plugin-{self.plugin}"

    @classmethod
    def shown(cls, shows: Shows) -> list[Fault]:
        """All that show at a time."""
        return [fault for fault in cls if fault.shows == shows]

    def install(self, plugin_distribution: PluginDistributions) -> PluginDistribution:
        """Install a distribution whose plugin has the fault."""
        if self is Fault.BAD_METADATA:
            return plugin_distribution(self.distribution, self.source, omit=["METADATA"])
        requires = ["llmos-core>=99"] if self is Fault.NEWER_CORE else None
        return plugin_distribution(self.distribution, self.source, requires=requires)
