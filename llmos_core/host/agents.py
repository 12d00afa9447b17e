"""Agents written as Markdown: front matter for what they are, the body as their system prompt."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from llmos_core.errors import PluginError
from llmos_core.records import AgentSpec


def read_agent(path: Path) -> AgentSpec:
    """The agent in a Markdown file. ``tools`` may be a list or names with commas. Raises PluginError."""
    import frontmatter
    import yaml
    from frontmatter.default_handlers import YAMLHandler

    # In Python: the reader in C is felled by lists that are nested deep, and the process with it.
    handler: Any = YAMLHandler()
    handler.load = partial(handler.load, Loader=yaml.SafeLoader)
    try:
        page = frontmatter.loads(path.read_text("utf-8"), handler=handler)
        fields: dict[str, Any] = {"name": path.stem, **page.metadata}
        for key in ("tools", "capabilities", "constraints"):
            if isinstance(fields.get(key), str):
                fields[key] = [part.strip() for part in fields[key].split(",") if part.strip()]
        return AgentSpec.model_validate({**fields, "system_prompt": page.content})
    # YAML's reader raises these too, for values that are none of their kind (a date, say).
    except (OSError, ValueError, LookupError, AttributeError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise PluginError(f"The agent {path} cannot be read.", reason, "Correct its front matter.") from error
