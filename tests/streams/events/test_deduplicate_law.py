"""deduplicate: the columnar step equals its row-by-row fold, and what the fold promises."""

import hypothesis.strategies as st
from hypothesis import given

from streams.events.deduplicate import Deduplicated, DedupRules, deduplicate
from streams.sessions.state import SEEN_BYTES, SessionState, new_state
from tests.streams.oracle import Deduplicator, hash_uuid
from tests.streams.universe import MESSAGE_IDS, Row, States, cuts, enriched_rows, placed, to_frame

rows_of_a_log = st.lists(enriched_rows(), min_size=1, max_size=30).map(placed)
rules_of_dedup = st.builds(DedupRules, window_s=st.integers(1, 12), seen_ids_max=st.integers(1, 6))


def chunked(data: st.DataObject, rows: list[Row]) -> list[list[Row]]:
    return [rows[start:end] for start, end in data.draw(cuts(len(rows)), "chunks")]


def kept_offsets(result: Deduplicated) -> list[tuple[int, int]]:
    return list(zip(result.frame["source_partition"].to_list(), result.frame["source_offset"].to_list(), strict=True))


def remembered(state: SessionState) -> list[tuple[int, int]]:
    """(hash, second of receipt) of each entry."""
    entries = [state.seen[start : start + SEEN_BYTES] for start in range(0, len(state.seen), SEEN_BYTES)]
    return [(int.from_bytes(entry[:8], "little"), int.from_bytes(entry[8:], "big")) for entry in entries]


@given(rows_of_a_log, rules_of_dedup, st.data())
def test_columns_decide_as_the_fold_does(rows: list[Row], rules: DedupRules, data: st.DataObject) -> None:
    states, oracle = States(), Deduplicator(rules)
    for chunk in chunked(data, rows):
        result = deduplicate(to_frame(chunk), states.of, rules)
        verdicts = [oracle.take(row) for row in chunk]
        oracle.end_chunk(chunk)
        expected = [
            (row["source_partition"], row["source_offset"])
            for row, verdict in zip(chunk, verdicts, strict=True)
            if verdict == "keep"
        ]
        assert kept_offsets(result) == expected
        assert (result.duplicates, result.replayed) == (verdicts.count("duplicate"), verdicts.count("replayed"))
        for key, seen in oracle.keys.items():
            state = states.by_key[key]
            assert (state.applied, state.active_ms) == (seen.applied, seen.active_ms)
            assert remembered(state) == [(hash_uuid(text), second) for text, second in seen.ids]


@given(rows_of_a_log, st.data())
def test_nothing_is_kept_twice_and_nothing_is_dropped_at_first(rows: list[Row], data: st.DataObject) -> None:
    rules = DedupRules(window_s=1_000_000, seen_ids_max=1_000)
    states = States()
    kept = []
    for chunk in chunked(data, rows):
        kept += kept_offsets(deduplicate(to_frame(chunk), states.of, rules))
    firsts: dict[tuple[bytes, str], tuple[int, int]] = {}
    for row in rows:
        firsts.setdefault((row["key"], row["message_id"]), (row["source_partition"], row["source_offset"]))
    assert kept == sorted(firsts.values(), key=kept.index)
    assert len(kept) == len(firsts)


@given(rows_of_a_log, rules_of_dedup, st.data())
def test_a_log_read_again_is_skipped_whole(rows: list[Row], rules: DedupRules, data: st.DataObject) -> None:
    states = States()
    for chunk in chunked(data, rows):
        deduplicate(to_frame(chunk), states.of, rules)
    before = {key: (state.applied, state.active_ms, state.seen) for key, state in states.by_key.items()}
    for chunk in chunked(data, rows):
        result = deduplicate(to_frame(chunk), states.of, rules)
        assert (len(result.frame), result.duplicates, result.replayed) == (0, 0, len(chunk))
    assert before == {key: (state.applied, state.active_ms, state.seen) for key, state in states.by_key.items()}


@given(rows_of_a_log, rules_of_dedup, st.data())
def test_every_row_has_one_outcome(rows: list[Row], rules: DedupRules, data: st.DataObject) -> None:
    states = States()
    for chunk in chunked(data, [*rows, *rows]):
        result = deduplicate(to_frame(chunk), states.of, rules)
        assert len(result.frame) + result.duplicates + result.replayed == len(chunk)


@given(rows_of_a_log, rules_of_dedup, st.data())
def test_no_more_ids_are_remembered_than_allowed(rows: list[Row], rules: DedupRules, data: st.DataObject) -> None:
    states = States()
    for chunk in chunked(data, rows):
        deduplicate(to_frame(chunk), states.of, rules)
        assert all(len(state.seen) <= rules.seen_ids_max * SEEN_BYTES for state in states.by_key.values())


@given(st.lists(st.tuples(st.sampled_from(MESSAGE_IDS), st.integers(0, 8)), min_size=1, max_size=30), st.data())
def test_an_id_within_the_window_is_never_forgotten(sent: list[tuple[str, int]], data: st.DataObject) -> None:
    template = data.draw(enriched_rows())
    rules = DedupRules(window_s=5, seen_ids_max=1_000)
    rows = placed(
        {**template, "message_id": message_id, "received_at": template["timestamp"] + second * 1_000}
        for message_id, second in sent
    )
    states = States()
    newest_s, kept_at = 0, dict[str, int]()
    for chunk in chunked(data, rows):
        kept = {offset for _, offset in kept_offsets(deduplicate(to_frame(chunk), states.of, rules))}
        for row in chunk:
            if row["source_offset"] in kept:
                first = kept_at.get(row["message_id"])
                assert first is None or first < newest_s - rules.window_s
                kept_at[row["message_id"]] = row["received_at"] // 1_000
            newest_s = max(newest_s, row["received_at"] // 1_000)


def test_a_hot_key_with_thousands_of_ids_is_searched_as_a_set() -> None:
    rules = DedupRules(window_s=1_000, seen_ids_max=10_000)
    template: Row = enriched_row()
    ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(2_000)]
    rows = placed({**template, "message_id": message_id} for message_id in [*ids, *ids[::7]])
    states = States()
    first = deduplicate(to_frame(rows[:2_000]), states.of, rules)
    again = deduplicate(to_frame(rows[2_000:]), states.of, rules)
    assert (len(first.frame), first.duplicates) == (2_000, 0)
    assert (len(again.frame), again.duplicates) == (0, len(rows) - 2_000)


def enriched_row() -> Row:
    key = b"t/p/v/ann"
    return {"key": key, "message_id": MESSAGE_IDS[0], "received_at": 1_795_000_000_000}


@given(st.lists(st.tuples(enriched_rows(), st.integers(0, 2)), min_size=1, max_size=30), st.data())
def test_one_key_in_several_partitions_is_one_in_each(drawn: list[tuple[Row, int]], data: st.DataObject) -> None:
    """A producer with another partitioner: an offset of one partition says nothing in another, and no event is lost."""
    rows = [row | {"source_partition": partition} for row, partition in drawn]
    rows = [row | {"source_offset": 1_000 * (2 - row["source_partition"]) + at} for at, row in enumerate(rows)]
    rules = DedupRules(window_s=1_000_000, seen_ids_max=1_000)
    states: dict[tuple[int, bytes], SessionState] = {}
    oracles = [Deduplicator(rules) for _ in range(3)]
    for chunk in chunked(data, rows):
        result = deduplicate(to_frame(chunk), lambda *place: states.setdefault(place, new_state()), rules)
        expected = [row for row in chunk if oracles[row["source_partition"]].take(row) == "keep"]
        assert kept_offsets(result) == [(row["source_partition"], row["source_offset"]) for row in expected]
    assert {place: state.applied for place, state in states.items()} == {
        (partition, key): seen.applied for partition, oracle in enumerate(oracles) for key, seen in oracle.keys.items()
    }
