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
