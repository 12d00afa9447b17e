"""Finding plugins by their entry points: reads metadata, imports nothing.

Each distribution is read by itself, so that one whose metadata is damaged harms no other.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

PLUGIN_GROUP = "llmos.plugins"
COMMAND_GROUP = "llmos.commands"

_HEADER = r"(?im)^{}:[ \t]*(.*?)[ \t]*$"
_CORE = re.compile(
    r"(?im)^Requires-Dist:(?!.*;.*\bextra\b) *llmos[-_.]+core(?![-.\w]) *(?:\[[^]\n]*])? *(?:@.*|\(?([^;)\n]*))"
)
"""A requirement of llmos-core, and its range; none where it says an address. That of an extra does not count."""

_CLAUSE = re.compile(r"\s*(>=|<)\s*(\d+(?:\.\d+)*)\s*")
_VALUE = re.compile(r"\w+(\.\w+)*(:\w+(\.\w+)*)?")


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point: its name, what it names, and the distribution that ships it.

    ``needs`` is the range of versions of llmos-core that the distribution requires, empty for any. ``fault`` says what
    is wrong with its metadata. ``place`` is the directory that holds the distribution, or the file of a local plugin,
    whose bytes have this ``digest`` (SHA-256, hex digits).
    """

    name: str
    value: str
    distribution: str
    version: str
    needs: str = ""
    fault: str | None = None
    place: str = ""
    digest: str = ""

    @property
    def id(self) -> str:
        return f"{self.distribution}/{self.name}" if self.distribution else self.name

    @property
    def names(self) -> frozenset[str]:
        """What the settings may call it."""
        return frozenset({self.name, self.distribution, self.id} - {""})

    @property
    def summary(self) -> str:
        """What the distribution says of itself, in a line. Reading its metadata takes time: ask only to show it."""
        import importlib_metadata as metadata

        try:
            return _header("Summary", metadata.distribution(self.distribution).read_text("METADATA") or "")
        except (metadata.PackageNotFoundError, ValueError, OSError):
            return ""

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
    """The entry points of a group, by distribution and name. A damaged distribution comes with its fault."""
    return [found for found_group, found in _entry_points(tuple(_places())) if found_group == group]


def _places() -> Iterator[tuple[str, int]]:
    """The directories of the path, and when each was changed last: what was found counts until then."""
    for place in sys.path:
        with contextlib.suppress(OSError):
            yield place, os.stat(place or ".").st_mtime_ns  # noqa: PTH116 - Path objects would cost more than it


@lru_cache(maxsize=1)
def _entry_points(places: tuple[tuple[str, int], ...]) -> Sequence[tuple[str, Found]]:
    """The entry points of both groups."""
    import importlib_metadata as metadata

    found: list[tuple[str, Found]] = []
    seen = set()
    for number, distribution in enumerate(metadata.distributions()):
        # As Python does: of two that have one name, the first on the path counts.
        key = getattr(distribution, "_normalized_name", None) or str(number)
        if key not in seen:
            seen.add(key)
            found += _of_distribution(distribution)
    return sorted(found, key=lambda pair: (pair[1].distribution, pair[1].name))


def _of_distribution(distribution: Any) -> Iterator[tuple[str, Found]]:
    fault = None
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (ValueError, OSError) as error:
        text, fault = "", f"entry_points.txt cannot be read: {error}"
    if "llmos." not in text and fault is None:
        return
    try:
        about = (distribution.read_text("METADATA") or "").partition("\n\n")[0]
    except (ValueError, OSError) as error:
        about, fault = "", f"METADATA cannot be read: {error}"
    stem = Path(str(getattr(distribution, "_path", ""))).stem.partition("-")[0].replace("_", "-")
    if fault and not text and "llmos" not in stem:
        return  # not ours to judge
    name, version = _header("Name", about), _header("Version", about)
    if not name or not version:
        fault = fault or f"METADATA says no {'name' if not name else 'version'}"
    needs = _CORE.search(about)
    common = {
        "distribution": name or stem,
        "version": version,
        "needs": (needs[1] or "").strip() if needs else "",
        "place": str(distribution.locate_file("")),
    }
    points, wrong = _points(text)
    fault = fault or wrong
    if fault and not any(group == PLUGIN_GROUP for group, _, _ in points):
        short = common["distribution"].removeprefix("llmos-plugin-")
        points = [*points, (PLUGIN_GROUP, short, "")]
    for group, entry, value in points:
        odd = None if _VALUE.fullmatch(value) else f"the entry point {entry} = {value} names no object"
        yield group, Found(name=entry, value=value, fault=fault or odd, **common)


def _points(text: str) -> tuple[list[tuple[str, str, str]], str | None]:
    """Our entry points in a text, and what is wrong with it."""
    points: list[tuple[str, str, str]] = []
    group = ""
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif line and not line.startswith(("#", ";")) and group in (PLUGIN_GROUP, COMMAND_GROUP):
            name, sign, value = (part.strip() for part in line.partition("="))
            if not sign or not name:
                return points, f"entry_points.txt has a line that is no entry point: {line}"
            if any((group, name) == point[:2] for point in points):
                return points, f"entry_points.txt names {name} twice in [{group}]"
            points.append((group, name, value.partition("[")[0].strip()))
    return points, None


def _header(name: str, text: str) -> str:
    said = re.search(_HEADER.format(name), text)
    return said[1] if said else ""


def misfit(found: Found) -> str | None:
    """Why this core is out of the range that a plugin states, if it is. Raises ValueError for a range that is none."""
    from llmos_core import __version__

    if not found.needs or _admits(found.needs, __version__):
        return None
    return f"it needs llmos-core {found.needs}, and this is {__version__}"


@lru_cache
def _admits(needs: str, version: str) -> bool:
    clauses = [_CLAUSE.fullmatch(clause) for clause in (*needs.split(","), f">={version}")]
    if all(clauses):  # the usual range; importing what reads every range costs a fifth of `plugins list`
        *bounds, own = [(clause[1], _numbers(clause[2])) for clause in clauses if clause]
        return all(own[1] >= number if sign == ">=" else own[1] < number for sign, number in bounds)
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(needs).contains(version, prereleases=True)


def _numbers(release: str) -> list[int]:
    """The parts of a release, for comparing; 1.0 is 1."""
    numbers = [int(part) for part in release.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers
