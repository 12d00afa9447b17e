"""Ships the plugin template: it lies beside this folder in the repository, and within the package elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TemplateHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the template into wheels and source distributions; editable installs find it in the repository."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        template = Path(self.root).parent / "llmos-plugin-template"
        package = "src/llmos_testkit" if self.target_name == "sdist" else "llmos_testkit"
        if version != "editable" and (template / "copier.yml").is_file():
            build_data["force_include"][str(template)] = f"{package}/template"
