"""Which events make a session converted, by project: `conversion_events` of the project's settings. Pure."""

from collections.abc import Mapping
from typing import Any

import polars as pl

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


def convert(frame: pl.DataFrame, conversions: Mapping[str, frozenset[str]]) -> pl.Series:
    """Whether each row's event is among its project's conversion events, which `conversions` gives by project id.

    Costs the same however many projects have some: only those in the frame are asked for, and only rows with an event
    that is one for any of these are looked at one by one.
    """
    found = pl.repeat(False, len(frame), dtype=pl.Boolean, eager=True)
    if not conversions:
        return found
    none: frozenset[str] = frozenset()
    names = none.union(*(conversions.get(project_id, none) for project_id in frame["project_id"].unique().to_list()))
    if not names:
        return found
    rows = frame["event_name"].is_in(list(names)).arg_true()
    pairs = zip(frame["project_id"].gather(rows).to_list(), frame["event_name"].gather(rows).to_list(), strict=True)
    return found.scatter(rows, [name in conversions.get(project_id, none) for project_id, name in pairs])
