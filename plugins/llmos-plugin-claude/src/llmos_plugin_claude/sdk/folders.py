"""Folders that the user brings into the CLI: skills, and plugins of Claude Code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmos_core import Run, UsageError
from llmos_plugin_claude.settings import ClaudeSettings

_OWN_PLUGIN = "llmos"
_MANIFEST = Path(".claude-plugin/plugin.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of plugins to load, the names of those that bring agents, and all their skills as ``plugin:skill``."""

    paths: tuple[Path, ...]
    with_agents: tuple[str, ...]
    skills: tuple[str, ...]


def assemble(settings: ClaudeSettings, run: Run) -> Folders:
    """What the settings bring. Single skills become a plugin made of links, among the files of the run.

    Raises UsageError for a folder that is not there, or holds no skill or plugin.
    """
    skills = [_skill(Path(folder)) for folder in settings.skills]
    plugins = [_plugin(Path(folder)) for folder in settings.claude_plugins]
    if skills:
        plugins.append(_gathered(skills, run.files / "skills"))
    names = [name for _, name in plugins]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(
            f"Two Claude Code plugins have the name {min(twice)}.",
            f"Names must differ, and {_OWN_PLUGIN} is that of the folder of single skills.",
            "Remove one of them from plugins.claude.claude_plugins.",
        )
    return Folders(
        paths=tuple(path for path, _ in plugins),
        with_agents=tuple(name for path, name in plugins if any(path.glob("agents/*.md"))),
        skills=tuple(f"{name}:{skill}" for path, name in plugins for skill in _skills_in(path)),
    )


def _skill(folder: Path) -> Path:
    if not (folder / "SKILL.md").is_file():
        raise _missing(folder, "skill", "it holds no SKILL.md", "skills")
    if not _NAME.fullmatch(folder.name):
        raise _missing(folder, "skill", "its name may hold letters, digits, - and _ only", "skills")
    return folder


def _plugin(folder: Path) -> tuple[Path, str]:
    if not folder.is_dir():
        raise _missing(folder, "Claude Code plugin", "it is no folder", "claude_plugins")
    manifest = folder / _MANIFEST
    try:
        name = json.loads(manifest.read_bytes())["name"] if manifest.is_file() else folder.name
    except (OSError, ValueError, LookupError, TypeError) as error:
        why = f"its {_MANIFEST} cannot be read ({error})"
        raise _missing(folder, "Claude Code plugin", why, "claude_plugins") from error
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _missing(folder, "Claude Code plugin", f"its name cannot be {name!r}", "claude_plugins")
    return folder, name


def _gathered(skills: list[Path], plugin: Path) -> tuple[Path, str]:
    (plugin / _MANIFEST).parent.mkdir(parents=True)
    (plugin / _MANIFEST).write_text(json.dumps({"name": _OWN_PLUGIN}))
    (plugin / "skills").mkdir()
    for folder in skills:
        link = plugin / "skills" / folder.name
        if link.is_symlink():
            raise _missing(folder, "skill", "another one has the same name", "skills")
        link.symlink_to(folder, target_is_directory=True)
    return plugin, _OWN_PLUGIN


def _skills_in(plugin: Path) -> Iterator[str]:
    return (file.parent.name for file in sorted(plugin.glob("skills/*/SKILL.md")))


def _missing(folder: Path, what: str, why: str, setting: str) -> UsageError:
    fix = f"Correct plugins.claude.{setting} in your settings."
    return UsageError(f"The {what} {folder} cannot be used.", f"Of this folder: {why}.", fix)
