"""What the roll-ups must be, summed from the rows of `events` one at a time; and what they are."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from docker.local.services import CommandFailedError, Pipeline
from tests.chaos.expected import Row

_HOUR_MS: Final = 3_600_000
_DAY_S: Final = 86_400
_BY: Final = ("project_id", "event_name", "event_type", "page_path", "country_code", "device_type", "is_bot")
_CHECK_S: Final = 600.0
# A sketch is exact for a few, and off by half a percent at most for many.
_EXACT_TO: Final = 1_000
_SHARE: Final = 0.005
Key = tuple[Any, ...]


@dataclass(slots=True)
class RolledUp:
    """Events by hour and by day (s since 1970) and the columns above; visitors and sessions of each hour.

    faults: what `python -m sinks rollups check` says.
    """

    hourly: Counter[Key] = field(default_factory=Counter)
    daily: Counter[Key] = field(default_factory=Counter)
    visitors: Mapping[int, int] = field(default_factory=dict)
    sessions: Mapping[int, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class Summing:
    """Rows in, roll-ups out."""

    def __init__(self) -> None:
        self._hourly: Counter[Key] = Counter()
        self._visitors: dict[int, set[str]] = {}
        self._sessions: dict[int, set[str]] = {}

    def add(self, row: Row) -> None:
        """One row of `events`, times in ms since 1970."""
        hour = row["timestamp"] // _HOUR_MS * _HOUR_MS // 1_000
        self._hourly[(hour, *(row[name] for name in _BY))] += 1
        self._visitors.setdefault(hour, set()).add(row["anonymous_id"] or row["user_id"] or "")
        self._sessions.setdefault(hour, set()).add(row["session_id"])

    def result(self) -> RolledUp:
        """Of all rows so far."""
        daily: Counter[Key] = Counter()
        for (hour, *by), events in self._hourly.items():
            daily[(hour // _DAY_S * _DAY_S, *by)] += events
        visitors = {hour: len(each) for hour, each in self._visitors.items()}
        sessions = {hour: len(each) for hour, each in self._sessions.items()}
        return RolledUp(self._hourly, daily, visitors, sessions)


def read_rollups(pipeline: Pipeline) -> RolledUp:
    """The tables, and what the command that compares them says."""
    hours = pipeline.query(
        "SELECT toUnixTimestamp(hour), uniqCombinedMerge(visitors), uniqCombinedMerge(sessions) FROM events_hourly "
        "GROUP BY hour FORMAT JSONCompactEachRow SETTINGS output_format_json_quote_64bit_integers = 0"
    )
    counted = [json.loads(line) for line in hours.splitlines()]
    return RolledUp(
        _counts(pipeline, "events_hourly", "toUnixTimestamp(hour)"),
        _counts(pipeline, "events_daily", "toUnixTimestamp(toDateTime(day, 'UTC'))"),
        {hour: visitors for hour, visitors, _ in counted},
        {hour: sessions for hour, _, sessions in counted},
        _check(pipeline),
    )


def differences(expected: RolledUp, found: RolledUp) -> list[str]:
    """What is otherwise than it must be."""
    wrong = list(found.faults)
    for name in ("hourly", "daily"):
        must, are = getattr(expected, name), getattr(found, name)
        wrong += [f"{name} {key}: {are[key]} events, not {must[key]}" for key in must | are if must[key] != are[key]]
    for name in ("visitors", "sessions"):
        wrong += [f"{name} of {text}" for text in _off(getattr(expected, name), getattr(found, name))]
    return wrong


def _off(expected: Mapping[int, int], found: Mapping[int, int]) -> Iterator[str]:
    for hour in sorted(expected.keys() | found.keys()):
        must, are = expected.get(hour, 0), found.get(hour, 0)
        if abs(must - are) > (0 if must <= _EXACT_TO else must * _SHARE):
            yield f"{hour}: {are}, not {must}"


def _counts(pipeline: Pipeline, table: str, start: str) -> Counter[Key]:
    answer = pipeline.query(
        f"SELECT {start}, {', '.join(_BY)}, sum(events) FROM {table} GROUP BY ALL FORMAT JSONCompactEachRow "
        "SETTINGS output_format_json_quote_64bit_integers = 0"
    )
    return Counter({tuple(key): events for *key, events in map(json.loads, answer.splitlines())})


def _check(pipeline: Pipeline) -> list[str]:
    try:
        pipeline.run("sinks", "rollups", "check", "--from", "3d", "--to", "0m", timeout_s=_CHECK_S)
    except CommandFailedError as error:
        return [line for line in str(error).splitlines()[1:] if line.startswith("events_")] or [str(error)]
    return []
