"""sessionize: sessions are a function of the set of events, whatever the order, the chunks and the epochs."""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from itertools import groupby
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from schemas.outcomes import Remark
from streams.events.deduplicate import deduplicate
from streams.sessions.chains import SessionRules, forget_emitted
from streams.sessions.fold import sessionize
from streams.sessions.late import LATE_SLICES_MAX
from streams.sessions.rows import SessionRows
from tests.effort import examples
from tests.streams.oracle import all_sessions, by_key, session_id_of, within_the_bound
from tests.streams.readers import FIELDS, dangling, live
from tests.streams.universe import (
    CONVERSIONS,
    DEDUP,
    GAP_MS,
    PROJECTS,
    RULES,
    START_MS,
    TENANT,
    Row,
    States,
    clustered_times,
    cuts,
    enriched_rows,
    made_uuid,
    placed,
    to_frame,
)


class Fold:
    """deduplicate and sessionize over chunks, epochs ended when told to, and every session row that came out."""

    def __init__(self, rules: SessionRules = RULES) -> None:
        self.rules = rules
        self.states = States()
        self.emitted: list[Row] = []
        self.kept: list[Row] = []
        self.named: dict[tuple[int, int], str] = {}  # the session of each event, as its first row has it
        self.remarks: Counter[Remark] = Counter()
        self._touched: dict[bytes, int] = {}

    def take(self, chunk: Sequence[Row]) -> list[tuple[Row, str]]:
        """The rows kept, each with its session id."""
        kept = deduplicate(to_frame(chunk), self.states.of, DEDUP)
        self._touched |= {row["key"]: row["source_partition"] for row in chunk}
        if kept.frame.is_empty():
            return []
        frame = sessionize(kept.frame, kept.keys, kept.states, CONVERSIONS, self.rules, self._remark)
        places = {(row["source_partition"], row["source_offset"]): row for row in chunk}
        found = [
            (places[place[0], place[1]], place[2])
            for place in frame.select("source_partition", "source_offset", "session_id").rows()
        ]
        self.kept += [row for row, _ in found]
        for row, session_id in found:
            self.named.setdefault((row["source_partition"], row["source_offset"]), session_id)
        return found

    def _remark(self, remark: Remark, count: int) -> None:
        self.remarks[remark] += count

    def end_epoch(self) -> None:
        """Emit what was touched, and forget it."""
        rows = SessionRows()
        touched = [(key, self.states.by_key[key]) for key in self._touched]
        for key, state in touched:
            rows.add(key, state, self.rules)
        if rows.sessions:
            columns = rows.columns(1 << 48)
            names = [*FIELDS, "version", "is_deleted", "absorbed_by"]
            self.emitted += [
                dict(zip(names, values, strict=True)) for values in zip(*(columns[name] for name in names), strict=True)
            ]
        for _, state in touched:
            forget_emitted(state, self.rules)
        self._touched.clear()

    def live(self) -> dict[tuple[str, str], Row]:
        """What a reader of the table sees: of each session the highest version, unless it is a tombstone."""
        return live(self.emitted)

    def dangling(self) -> list[tuple[str, str]]:
        """The sessions named by events that lead nowhere."""
        return dangling([(TENANT, session_id) for session_id in self.named.values()], self.emitted)


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


logs = st.lists(enriched_rows(), min_size=1, max_size=30)
logs_within_the_bound = logs.map(lambda rows: within_the_bound(rows, RULES)).map(placed)


@given(logs_within_the_bound, st.data())
def test_sessions_are_those_of_the_set_whatever_the_order_the_chunks_and_the_epochs(
    rows: list[Row], data: st.DataObject
) -> None:
    fold = run(data, rows)
    assert fold.live() == all_sessions(fold.kept, RULES, CONVERSIONS)
    assert fold.dangling() == []


@given(logs, st.data())
def test_two_orders_of_one_set_make_the_same_sessions(drawn: list[Row], data: st.DataObject) -> None:
    distinct = list({(row["key"], row["message_id"]): row for row in drawn}.values())
    start = min(row["timestamp"] for row in distinct)
    near = [row for row in distinct if row["received_at"] <= start + RULES.lateness_ms]
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
    assert fold.dangling() == []


@given(logs, st.data())
def test_events_beyond_the_bound_leave_the_sessions_of_the_others_alone(drawn: list[Row], data: st.DataObject) -> None:
    rows = placed(drawn)
    fold = run(data, rows)
    timely = all_sessions(within_the_bound(fold.kept, RULES), RULES, CONVERSIONS)
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
            (
                {**template, "key": key, "client_session_id": None, "message_id": made_uuid(number), "timestamp": at}
                for number, at in enumerate(times)
            ),
            RULES,
        )
    )


@settings(max_examples=examples(150))
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
    assert fold.dangling() == []


def visitors_row(number: int, cell: int) -> Row:
    """An event in the middle of a cell."""
    return {
        "message_id": made_uuid(number), "tenant_id": TENANT, "project_id": PROJECTS[0],
        "key": f"{TENANT}/{PROJECTS[0]}/v/ann".encode(), "timestamp": START_MS + cell * GAP_MS + 500,
        "received_at": START_MS + cell * GAP_MS + 900, "event_type": "track", "event_name": "", "anonymous_id": "ann",
        "user_id": None, "client_session_id": None, "page_path": "", "page_url": "", "page_referrer": "",
        "utm_source": None, "utm_medium": None, "utm_campaign": None, "device_type": "", "country_code": "",
        "channel_type": "web", "is_bot": False,
    }  # fmt: skip


def visitors_rows(*cells: int) -> list[Row]:
    return placed(visitors_row(number, cell) for number, cell in enumerate(cells))


def epochs_of(fold: Fold, *chunks: Sequence[Row]) -> None:
    for chunk in chunks:
        fold.take(chunk)
        fold.end_epoch()


def test_a_session_cut_by_its_length_moves_with_earlier_events_and_leaves_nothing_behind() -> None:
    rows = visitors_rows(2, 3, 4, 5, 6, 1, 0)
    fold = Fold()
    epochs_of(fold, rows[:5])
    states = deepcopy(fold.states)
    epochs_of(fold, rows[5:6])  # for a moment a session begins in cell 5; killed before the state is durable
    fold.states = states
    epochs_of(fold, rows[5:])
    assert fold.live() == all_sessions(rows, RULES, CONVERSIONS)


def test_a_session_that_ceased_for_a_killed_worker_alone_is_live_for_the_next() -> None:
    rows = visitors_rows(0, 4, 1, 3, 2)
    fold = Fold()
    epochs_of(fold, rows[:2])
    states = deepcopy(fold.states)
    epochs_of(fold, rows[2:4])  # the session of cell 4 is absorbed by that of cell 3, whose worker dies
    fold.states = states
    epochs_of(fold, rows[2:])  # from 0 to 3 it is as long as it may be: cell 4 begins one, as it did before
    assert fold.live() == all_sessions(rows, RULES, CONVERSIONS)


def test_an_event_between_two_sessions_joins_them_and_buries_the_second() -> None:
    rows = visitors_rows(0, 2, 1)
    fold = Fold()
    epochs_of(fold, rows[:1], rows[1:2])
    second = fold.emitted[-1]["session_id"]
    assert len(fold.live()) == 2
    epochs_of(fold, rows[2:])
    (whole,) = fold.live().values()
    assert whole["event_count"] == 3
    assert [row["absorbed_by"] for row in fold.emitted if row["session_id"] == second] == [None, whole["session_id"]]


def test_what_was_absorbed_leads_to_a_living_session_however_often_that_is_absorbed_too() -> None:
    rows = visitors_rows(6, 8, 5, 7, 4, 3, 2, 1, 0)
    fold = Fold()
    epochs_of(fold, *([row] for row in rows))
    assert len(set(fold.named.values())) > 4
    assert fold.dangling() == []


def test_a_buried_session_that_comes_back_is_live_with_a_higher_version() -> None:
    # 4 is absorbed by 3; four cells being the longest session, 0 gives it back.
    rows = visitors_rows(4, 3, 2, 1, 0)
    fold = Fold()
    epochs_of(fold, *([row] for row in rows))
    (in_cell_4,) = {row["session_id"] for row in fold.emitted if row["started_at"] == rows[0]["timestamp"]}
    history = [(row["is_deleted"], row["version"]) for row in fold.emitted if row["session_id"] == in_cell_4]
    assert [deleted for deleted, _ in groupby(deleted for deleted, _ in history)] == [False, True, False]
    versions = [version for _, version in history]
    assert versions == sorted(set(versions))
    assert fold.live() == all_sessions(rows, RULES, CONVERSIONS)
    assert (rows[0]["tenant_id"], in_cell_4) in fold.live()


@pytest.mark.parametrize(
    ("apart_ms", "count"), [(GAP_MS - 1, 1), (GAP_MS, 1), (GAP_MS + 1, 2)], ids=["below", "exactly", "above"]
)
def test_a_session_ends_after_the_gap(apart_ms: int, count: int) -> None:
    first = visitors_row(0, 0)
    rows = placed([first, {**visitors_row(1, 0), "timestamp": first["timestamp"] + apart_ms}])
    fold = Fold()
    epochs_of(fold, rows)
    assert len(fold.live()) == count


def test_with_the_default_settings_a_day_of_activity_is_one_session_and_the_next_minute_another() -> None:
    rules = SessionRules(gap_ms=1_800_000, lateness_ms=86_400_000, cells_max=48)
    day = 20_000 * 86_400_000
    minutes = [*range(0, 1_441, 40), *range(20, 1_441, 40)]
    rows = placed({**visitors_row(minute, 0), "timestamp": day + minute * 60_000} for minute in minutes)
    fold = Fold(rules)
    epochs_of(fold, rows[:37], rows[37:])
    assert sorted(row["duration_seconds"] for row in fold.live().values()) == [0, 1_420 * 60]


def test_late_events_of_one_half_hour_add_up_however_late() -> None:
    rows = visitors_rows(30, 0, 0, 40, 0, 1, 60, 0)
    fold = Fold()
    epochs_of(fold, *([row] for row in rows))
    counts = sorted((row["started_at"], row["event_count"]) for row in fold.live().values())
    assert counts == [(rows[1]["timestamp"], 5), *((rows[place]["timestamp"], 1) for place in (0, 3, 6))]


def test_sessions_of_late_events_are_bounded() -> None:
    late = range(0, 3 * (LATE_SLICES_MAX + 20), 3)
    rows = visitors_rows(5_000, *late)
    fold = Fold()
    for start in (0, *range(1, len(rows), 8)):
        epochs_of(fold, rows[start : start + 8] if start else rows[:1])
        (state,) = fold.states.by_key.values()
        assert len(state.slices) <= LATE_SLICES_MAX + 1
    assert sum(row["event_count"] for row in fold.live().values()) == len(rows)
