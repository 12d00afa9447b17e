"""What the model is told: the system prompt and the first message. Imports no SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmos_core import Run, Task, UsageError
from llmos_plugin_claude.settings import ClaudeSettings

PRESETS = ("claude_code",)
"""The system prompts that the CLI brings with it."""

CLAUDE_MD = "CLAUDE.md"
MAX_CLAUDE_MD = 64 << 10
"""The largest CLAUDE.md taken, in bytes."""

SYSTEM_PROMPT = """\
You work inside LLM OS: you reason, and the kernel runs your tools. You are given one goal; reach it, then say in a \
few words what you did and what came out.

Your tools are the kernel's. They work in the current directory, the only one they may write; name files by paths \
relative to it. What a tool prints is what you see: do not claim what you have not seen.

Your run is recorded, and the same goal is replayed later without you, tool call by tool call. So use commands that do \
the same every time: no dates, no random values, no process ids, no output whose order may change. Take as few steps \
as the goal needs, and check the result with a command that fails when it is wrong.\
"""

_PRESET = "preset:"


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """A system prompt: a text of its own, or what is appended to a preset of the CLI."""

    text: str
    preset: str | None = None


def task_prompt(task: Task) -> str:
    """The first message: the goal, its inputs as JSON and its constraints. A goal without them stays as it is."""
    parts = [task.goal]
    if task.inputs:
        parts.append(f"## Inputs\n\n```json\n{json.dumps(task.inputs, ensure_ascii=False, indent=2)}\n```")
    if task.constraints:
        parts.append("\n".join(["## Constraints", "", *(f"- {constraint}" for constraint in task.constraints)]))
    return "\n\n".join(parts)


def system_prompt(run: Run, settings: ClaudeSettings) -> SystemPrompt:
    """The system prompt of a run: the task's, else that of the settings, else :data:`SYSTEM_PROMPT`.

    ``preset:NAME`` is a preset; further lines are appended to it, after our own. Where the settings say so, the text
    ends with the CLAUDE.md of the working directory and of the workspace, so this reads files. Raises UsageError for a
    preset that is not known, and for a CLAUDE.md that cannot be taken.
    """
    chosen = next(
        (text for text in (run.task.system_prompt, settings.system_prompt) if text is not None), SYSTEM_PROMPT
    )
    preset = None
    if chosen.startswith(_PRESET):
        first, _, chosen = chosen.partition("\n")
        preset, chosen = _known(first.removeprefix(_PRESET).strip()), f"{SYSTEM_PROMPT}\n\n{chosen.strip()}".strip()
    notes = _claude_md(run) if settings.claude_md else ()
    return SystemPrompt("\n\n".join([chosen, *notes]).strip(), preset)


def system_text(run: Run, settings: ClaudeSettings) -> str:
    """The same, where there is no CLI: a preset raises UsageError, for only the CLI knows its text."""
    prompt = system_prompt(run, settings)
    if prompt.preset is not None:
        raise UsageError(
            f"The system prompt preset {prompt.preset} needs the Claude Agent SDK.",
            "Its text is part of the CLI.",
            'Install it (pip install "llmos-plugin-claude[sdk]"), or give the system prompt as text.',
        )
    return prompt.text


def _known(preset: str) -> str:
    if preset not in PRESETS:
        raise UsageError(
            f"There is no system prompt preset {preset or '(empty)'}.",
            f"The Claude Code CLI has: {', '.join(PRESETS)}.",
            f"Write {_PRESET}{PRESETS[0]}, or give the system prompt as text.",
        )
    return preset


def _claude_md(run: Run) -> Iterator[str]:
    """What the CLAUDE.md files say, the working directory's first."""
    for directory in dict.fromkeys((run.workdir.resolve(), run.workspace.resolve())):
        text = _read(directory / CLAUDE_MD, (run.workdir, run.workspace))
        if text:
            yield f"# {CLAUDE_MD} of {directory}\n\n{text}"


def _read(path: Path, within: tuple[Path, ...]) -> str:
    if not path.exists():
        return ""
    try:
        if not path.is_file():
            raise _unusable(path, "It is not a file.")
        if not any(path.resolve().is_relative_to(directory.resolve()) for directory in within):
            raise _unusable(path, "It is a link that leads out of the workspace.")
        with path.open("rb") as file:
            content = file.read(MAX_CLAUDE_MD + 1)
        if len(content) > MAX_CLAUDE_MD:
            raise _unusable(path, f"It is larger than {MAX_CLAUDE_MD >> 10} KiB.")
        return content.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, f"It cannot be read: {error}") from error


def _unusable(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} cannot be given to the model.", why, "Change it, or set claude_md to false.")
