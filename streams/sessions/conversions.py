"""Which events make a session converted, by project: `conversion_events` of the project's settings. Pure."""

from collections.abc import Mapping

import polars as pl

from schemas.project_settings import ByProject


class ConversionEvents(ByProject):
    """The conversion events of every project that has any."""

    def __init__(self) -> None:
        super().__init__(lambda settings: settings.conversion_events)


def convert(frame: pl.DataFrame, conversions: Mapping[str, frozenset[str]]) -> pl.Series:
    """Whether each row's event is among its project's conversion events, which `conversions` gives by project id.

    Costs the same however many projects have some: only those in the frame are asked for, and only rows with an event
    that is one for any of these are looked at one by one.
    """
    if not conversions:
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(frame))
    none: frozenset[str] = frozenset()
    project_ids = frame["project_id"].to_list()
    names = none.union(*(conversions.get(project_id, none) for project_id in set(project_ids)))
    rows = zip(project_ids, frame["event_name"].to_list(), strict=True)
    found = [name in names and name in conversions.get(project_id, none) for project_id, name in rows]
    return pl.Series(found, dtype=pl.Boolean)
