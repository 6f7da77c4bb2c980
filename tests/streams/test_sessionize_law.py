"""sessionize: sessions are a function of the set of events, whatever the order, the chunks and the epochs."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, Final

import hypothesis.strategies as st
from hypothesis import given, settings

from streams.session_rows import SessionRows
from streams.state import SessionRules
from streams.steps.deduplicate import deduplicate
from streams.steps.sessionize import sessionize, settle
from tests.streams.oracle import all_sessions, by_key, session_id_of
from tests.streams.universe import (
    CONVERSIONS,
    DEDUP,
    RULES,
    Row,
    States,
    clustered_times,
    cuts,
    enriched_rows,
    made_uuid,
    placed,
    to_frame,
)

FIELDS: Final = (
    "session_id", "tenant_id", "project_id", "anonymous_id", "user_id", "started_at", "ended_at", "duration_seconds",
    "event_count", "page_count", "entry_page", "exit_page", "referrer", "utm_source", "utm_medium", "utm_campaign",
    "device_type", "country_code", "channel_type", "converted", "conversion_event", "is_bot",
)  # fmt: skip


class Fold:
    """deduplicate and sessionize over chunks, epochs ended when told to, and every session row that came out."""

    def __init__(self, rules: SessionRules = RULES) -> None:
        self.rules = rules
        self.states = States()
        self.emitted: list[Row] = []
        self.kept: list[Row] = []
        self._touched: dict[bytes, int] = {}

    def take(self, chunk: Sequence[Row]) -> list[tuple[Row, str]]:
        """The rows kept, each with its session id."""
        kept = deduplicate(to_frame(chunk), self.states.of, DEDUP)
        self._touched |= {row["key"]: row["source_partition"] for row in chunk}
        if kept.frame.is_empty():
            return []
        frame = sessionize(kept.frame, kept.keys, kept.states, CONVERSIONS, self.rules)
        places = {(row["source_partition"], row["source_offset"]): row for row in chunk}
        found = [
            (places[place[0], place[1]], place[2])
            for place in frame.select("source_partition", "source_offset", "session_id").rows()
        ]
        self.kept += [row for row, _ in found]
        return found

    def end_epoch(self) -> None:
        """Emit what was touched, and settle it."""
        rows = SessionRows()
        touched = [(key, self.states.by_key[key]) for key in self._touched]
        for key, state in touched:
            rows.add(key, state, self.rules)
        if rows.sessions:
            columns = rows.columns(1 << 48)
            names = [*FIELDS, "version", "is_deleted"]
            self.emitted += [
                dict(zip(names, values, strict=True)) for values in zip(*(columns[name] for name in names), strict=True)
            ]
        for _, state in touched:
            settle(state, self.rules)
        self._touched.clear()

    def live(self) -> dict[tuple[str, str], Row]:
        """What a reader of the table sees: of each session the highest version, unless it is a tombstone."""
        return live(self.emitted)


def live(emitted: Sequence[Row]) -> dict[tuple[str, str], Row]:
    newest: dict[tuple[str, str], Row] = {}
    for row in emitted:
        name = row["tenant_id"], row["session_id"]
        if name not in newest or row["version"] >= newest[name]["version"]:
            newest[name] = row
    return {name: {field: row[field] for field in FIELDS} for name, row in newest.items() if not row["is_deleted"]}


def run(data: Any, rows: Sequence[Row], fold: Fold | None = None) -> Fold:
    """The rows in drawn chunks; an epoch ends after some of them, and after the last."""
    fold = fold or Fold()
    if not rows:
        return fold
    for start, end in data.draw(cuts(len(rows)), "chunks"):
        fold.take(rows[start:end])
        if end == len(rows) or data.draw(st.booleans(), "epoch ends"):
            fold.end_epoch()
    return fold


def within_the_bound(rows: Iterable[Row]) -> list[Row]:
    """The rows less those that come later than the bound after a newer one of their key."""
    newest: dict[bytes, int] = {}
    found = []
    for row in rows:
        reached = newest.get(row["key"], 0)
        if row["timestamp"] >= reached - RULES.lateness_ms:
            newest[row["key"]] = max(reached, row["timestamp"])
            found.append(row)
    return found


logs = st.lists(enriched_rows(), min_size=1, max_size=30)
logs_within_the_bound = logs.map(within_the_bound).map(placed)


@given(logs_within_the_bound, st.data())
def test_sessions_are_those_of_the_set_whatever_the_order_the_chunks_and_the_epochs(
    rows: list[Row], data: st.DataObject
) -> None:
    fold = run(data, rows)
    assert fold.live() == all_sessions(fold.kept, RULES, CONVERSIONS)


@given(logs, st.data())
def test_two_orders_of_one_set_make_the_same_sessions(drawn: list[Row], data: st.DataObject) -> None:
    distinct = list({(row["key"], row["message_id"]): row for row in drawn}.values())
    start = min(row["timestamp"] for row in distinct)
    near = [row for row in distinct if row["timestamp"] <= start + RULES.lateness_ms]
    first, second = run(data, placed(near)), run(data, placed(data.draw(st.permutations(near), "second order")))
    assert first.live() == second.live()


@given(logs_within_the_bound, st.data())
def test_events_of_a_key_are_each_counted_once(rows: list[Row], data: st.DataObject) -> None:
    fold = run(data, rows)
    counted = sum(row["event_count"] for row in fold.live().values())
    assert counted == len({(row["key"], row["message_id"]) for row in rows})


@given(logs_within_the_bound, st.data())
def test_an_event_carries_the_session_it_belongs_to_when_its_chunk_is_folded(
    rows: list[Row], data: st.DataObject
) -> None:
    fold = Fold()
    for start, end in data.draw(cuts(len(rows)), "chunks"):
        found = fold.take(rows[start:end])
        known = by_key(fold.kept)
        assert [session_id for _, session_id in found] == [
            session_id_of(row, known[row["key"]], RULES) for row, _ in found
        ]
        if data.draw(st.booleans(), "epoch ends"):
            fold.end_epoch()


@given(logs, st.data())
def test_events_beyond_the_bound_are_counted_once_too(drawn: list[Row], data: st.DataObject) -> None:
    fold = run(data, placed(drawn))
    assert sum(row["event_count"] for row in fold.live().values()) == len(fold.kept)


@given(logs, st.data())
def test_events_beyond_the_bound_leave_the_sessions_of_the_others_alone(drawn: list[Row], data: st.DataObject) -> None:
    rows = placed(drawn)
    fold = run(data, rows)
    timely = all_sessions(within_the_bound(fold.kept), RULES, CONVERSIONS)
    found = fold.live()
    assert {name: found.get(name) for name in timely} == timely


@st.composite
def logs_of_a_visitor(draw: st.DrawFn) -> list[Row]:
    """Distinct events of one key within the bound, dense in time: chains that join, and end by their length."""
    template = draw(enriched_rows())
    key = f"{template['tenant_id']}/{template['project_id']}/v/ann".encode()
    times = draw(st.lists(clustered_times, min_size=2, max_size=14))
    return placed(
        within_the_bound(
            {**template, "key": key, "client_session_id": None, "message_id": made_uuid(number), "timestamp": at}
            for number, at in enumerate(times)
        )
    )


@settings(max_examples=300)
@given(logs_of_a_visitor(), st.data())
def test_rows_of_a_killed_worker_are_corrected_by_the_next(rows: list[Row], data: st.DataObject) -> None:
    durable = data.draw(st.integers(0, len(rows) - 1), "durable")
    killed = data.draw(st.integers(durable, len(rows)), "killed")
    fold = run(data, rows[:durable])
    states = deepcopy(fold.states)
    run(data, rows[durable:killed], fold)  # killed after the last of these rows, before any state was durable
    fold.states = states
    run(data, rows[durable:], fold)
    assert fold.live() == all_sessions(rows, RULES, CONVERSIONS)
