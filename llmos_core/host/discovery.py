"""Finding plugins by their entry points: reads metadata, imports nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

PLUGIN_GROUP = "llmos.plugins"
COMMAND_GROUP = "llmos.commands"


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point: its name, what it names, and the distribution that ships it."""

    name: str
    value: str
    distribution: str
    version: str

    @property
    def summary(self) -> str:
        """What the distribution says of itself, in a line. Parsing its metadata takes time: ask only to show it."""
        import importlib_metadata as metadata

        return str(metadata.metadata(self.distribution)["Summary"] or "") if self.distribution else ""

    @property
    def command_summary(self) -> str:
        """What a command says of itself: the first line of its docstring, read from the source without an import."""
        module, _, function = self.value.partition(":")
        form = rf'^def {re.escape(function)}\(.*?^ +"(?:"")?([^"\n]+)'
        said = re.search(form, _source(module), re.MULTILINE | re.DOTALL)
        return said[1].strip() if said else self.summary


def _source(module: str) -> str:
    """The text of a module, found through its top-level package, which alone can be found without an import."""
    from importlib.util import find_spec

    package, *parts = module.split(".")
    try:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            return ""
        path = Path(spec.origin)
        return (path.parent.joinpath(*parts).with_suffix(".py") if parts else path).read_text("utf-8")
    except (ImportError, ValueError, OSError):
        return ""


def find(group: str) -> Sequence[Found]:
    """The entry points of a group, by distribution and name."""
    return sorted(_find(group), key=lambda found: (found.distribution, found.name))


def _find(group: str) -> Iterator[Found]:
    import importlib_metadata as metadata

    for entry in metadata.entry_points(group=group):
        yield _found(entry)


def _found(entry: EntryPoint) -> Found:
    distribution = entry.dist
    return Found(
        name=entry.name,
        value=entry.value,
        distribution=distribution.name if distribution else "",
        version=distribution.version if distribution else "",
    )
