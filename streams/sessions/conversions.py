"""Which events make a session converted, by project: `conversion_events` of the project's settings. Pure."""

import json
from collections.abc import Mapping
from typing import Any


class ConversionEvents:
    """The conversion events of every project that has any; several write keys of a project add up."""

    def __init__(self) -> None:
        self.by_project: Mapping[str, frozenset[str]] = {}
        self._by_write_key: dict[str, tuple[str, frozenset[str]]] = {}

    def apply(self, write_key: str, record: Mapping[str, Any] | None) -> None:
        """Take a record of the topic `projects`. Raises ValueError when its settings are no JSON object of the kind."""
        if record is None:
            self._by_write_key.pop(write_key, None)
        else:
            settings = json.loads(record["settings"] or "{}")
            names = settings.get("conversion_events", []) if isinstance(settings, dict) else None
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("settings.conversion_events is not a list of event names")
            self._by_write_key[write_key] = record["project_id"], frozenset(names)
        merged: dict[str, frozenset[str]] = {}
        for project_id, names in self._by_write_key.values():
            if names:
                merged[project_id] = names | merged.get(project_id, frozenset())
        self.by_project = merged
