"""Distributions made for a test: installed as far as this process and the processes it starts can tell."""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

EntryPoints = Mapping[str, Mapping[str, str]]
"""What distributions announce: by group, by name, the object as ``module:attribute``."""


@dataclass(frozen=True, slots=True)
class PluginDistribution:
    """A distribution as it lies on the path. ``info`` is its dist-info, ``files`` are its modules."""

    name: str
    version: str
    module: str
    info: Path
    files: tuple[Path, ...]

    def load(self) -> ModuleType:
        """Its first module, imported."""
        return importlib.import_module(self.module)

    def uninstall(self) -> None:
        """Remove it, and what was imported of it."""
        for path in self.files:
            path.unlink()
        shutil.rmtree(self.info)
        site = self.info.parent
        _forget_modules(site, {path.relative_to(site).parts[0].removesuffix(".py") for path in self.files})
        importlib.invalidate_caches()


@dataclass(frozen=True, slots=True)
class PluginDistributions:
    """Installs distributions in a directory that is on ``sys.path`` and on ``PYTHONPATH``."""

    site: Path

    def __call__(
        self,
        name: str,
        modules: str | bytes | Mapping[str, str | bytes] = "",
        *,
        version: str = "1.0",
        requires: Sequence[str] | None = None,
        entry_points: EntryPoints | str | bytes | None = None,
        summary: str = "Made for a test.",
        metadata: str | bytes | None = None,
        omit: Collection[str] = (),
    ) -> PluginDistribution:
        """Install a distribution.

        Args:
            name: such as ``llmos-plugin-greeter``.
            modules: the source of the one module, which is then named like the distribution, or sources by the path of
                their file (``greeter/plugin.py``) or the name of their module (``greeter.plugin``).
            version: its version.
            requires: what it requires; None means this version of llmos-core and no later one.
            entry_points: by group and name, or the very text of the file; None announces the first module as a plugin,
                named like the distribution without ``llmos-plugin-``.
            summary: its description in a line.
            metadata: the very text of METADATA, to break it.
            omit: files that its dist-info lacks: METADATA, entry_points.txt, RECORD.

        """
        own = name.replace("-", "_")
        sources = modules if isinstance(modules, Mapping) else {own: modules}
        files = {_place(module): _bytes(source) for module, source in sources.items()}
        module = next(iter(files), own).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        points: EntryPoints | str | bytes = {"llmos.plugins": {name.removeprefix("llmos-plugin-"): module}}
        if entry_points is not None:
            points = entry_points
        about = _metadata(name, version, summary, _this_core() if requires is None else requires)
        folder = f"{own}-{version}.dist-info"
        texts = {
            "METADATA": _bytes(about if metadata is None else metadata),
            "entry_points.txt": _bytes(points if isinstance(points, str | bytes) else _entry_points(points)),
        }
        written = {**files, **{f"{folder}/{file}": text for file, text in texts.items() if file not in omit}}
        (self.site / folder).mkdir(parents=True)
        for path, content in written.items():
            (self.site / path).parent.mkdir(parents=True, exist_ok=True)
            (self.site / path).write_bytes(content)
        if "RECORD" not in omit:
            (self.site / folder / "RECORD").write_text(_record(written, folder))
        importlib.invalidate_caches()
        return PluginDistribution(name, version, module, self.site / folder, tuple(self.site / path for path in files))


def install_site(site: Path, monkeypatch: pytest.MonkeyPatch) -> PluginDistributions:
    """A directory for distributions, on the paths of this process and of those it starts."""
    site.mkdir(exist_ok=True)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    # A module that is written twice within a second would else be taken from the older bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return PluginDistributions(site)


def remove_site(site: Path) -> None:
    """Remove the directory, what was imported from it, and what was found there."""
    tops = {path.name.removesuffix(".py") for path in site.iterdir()}
    shutil.rmtree(site)
    _forget_modules(site, tops)
    importlib.invalidate_caches()


def _forget_modules(site: Path, tops: Collection[str]) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        spec = getattr(sys.modules[name], "__spec__", None)
        places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
        if any(place and Path(place).is_relative_to(site) for place in places):
            del sys.modules[name]


def _place(module: str) -> str:
    return module if "/" in module or module.endswith(".py") else f"{module.replace('.', '/')}.py"


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _this_core() -> list[str]:
    from llmos_core import API_VERSION

    major, minor = API_VERSION.split(".")
    return [f"llmos-core>={major}.{minor},<{major}.{int(minor) + 1}"]


def _metadata(name: str, version: str, summary: str, requires: Sequence[str]) -> str:
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n"
    return head + "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)


def _entry_points(points: EntryPoints) -> str:
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in points.items()
    )
    return "\n".join(groups)


def _record(written: Mapping[str, bytes], folder: str) -> str:
    lines = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')},{len(content)}\n"
        for path, content in written.items()
    ]
    return "".join([*lines, f"{folder}/RECORD,,\n"])
