"""Puts a project into the wheel, below `engine/_project`: what `hub init` writes.

In: hatchling's build. Out: its list of files. An editable install needs none: the clone is the project.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PARTS = ("config.yaml", "channels", "mappings", "terminology", "sample_messages")


class ShippedProject(BuildHookInterface[Any]):
    """The build hook that pyproject.toml names."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the project's parts to a wheel that is to stand alone."""
        if version != "editable":
            build_data["force_include"].update({part: f"engine/_project/{part}" for part in PARTS})
