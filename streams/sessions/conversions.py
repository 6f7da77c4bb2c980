"""Which events make a session converted, by project: `conversion_events` of the project's settings. Pure."""

from collections.abc import Mapping
from typing import Any

from schemas.project_settings import read_project_settings


class ConversionEvents:
    """The conversion events of every project that has any; several write keys of a project add up."""

    def __init__(self) -> None:
        self.by_project: Mapping[str, frozenset[str]] = {}
        self._by_write_key: dict[str, tuple[str, frozenset[str]]] = {}

    def apply(self, write_key: str, record: Mapping[str, Any] | None) -> None:
        """Take a record of the topic `projects`. Raises ValueError when its settings cannot be read."""
        if record is None:
            self._by_write_key.pop(write_key, None)
        else:
            settings = read_project_settings(record["settings"])
            self._by_write_key[write_key] = record["project_id"], settings.conversion_events
        merged: dict[str, frozenset[str]] = {}
        for project_id, names in self._by_write_key.values():
            if names:
                merged[project_id] = names | merged.get(project_id, frozenset())
        self.by_project = merged
