"""The benchmarks themselves: that lines are printed as promised, and that a wrong output is no figure."""

from dataclasses import dataclass, field, replace

import pytest

from schemas.column_codec import ColumnCodec
from schemas.registry import open_ids
from schemas.settings import Settings
from tests.bench.command import bench
from tests.bench.enriched import enrich, repeat
from tests.bench.lines import WrongOutputError, quantile
from tests.bench.loads import Load, make_load
from tests.bench.rows import Filled, between_blocks
from tests.bench.traffic import Traffic
from tests.bench.verify import verify_streams


@pytest.mark.command
def test_unknown_line_ends_the_run_with_2_and_the_known_ones() -> None:
    done = bench("--only", "streams_per_fortnight")
    assert done.returncode == 2
    assert "streams_per_fortnight" in done.stderr
    assert "end_to_end_p95_s" in done.stderr
    assert done.stdout == ""


def test_quantile_is_a_value_that_occurred() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert quantile(values, 0.95) == 95
    assert quantile(values, 0.5) == 50
    assert quantile([7.0], 0.95) == 7
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


@dataclass(frozen=True)
class StoredRecord:
    """A record as the reader gets it."""

    its_value: bytes
    its_key: bytes = b""
    its_partition: int = 0

    def key(self) -> bytes:
        return self.its_key

    def value(self) -> bytes:
        return self.its_value

    def partition(self) -> int:
        return self.its_partition


@dataclass
class Topics:
    """What a worker might have written, in place of a broker."""

    records: dict[str, list[StoredRecord]] = field(default_factory=dict)

    def read(self, topic: str) -> list[StoredRecord]:
        return self.records.get(topic, [])

    def count(self, topic: str) -> int:
        return len(self.records.get(topic, []))


@pytest.fixture
def load() -> Load:
    return make_load(Traffic(visitors=20, duplicate_share=0.1, identify_share=0.3).records(200))


@pytest.fixture
def topics(load: Load) -> Topics:
    """What a worker that does its work writes for the load."""
    rows = enrich(settings(), load, 0)
    codec = {name: ColumnCodec(name, open_ids(None)) for name in ("sessions", "identities")}
    session: dict[str, object] = dict.fromkeys(codec["sessions"].arrow_schema.names, "")
    session |= {"is_bot": False, "converted": False}
    session |= dict.fromkeys(("started_at", "ended_at", "duration_seconds", "page_count", "version"), 0)
    identity: dict[str, object] = {"tenant_id": "t", "link_source": "identify", "traits": "{}", "is_deleted": False}
    identity |= {"linked_at": 0, "first_linked_at": 0}
    half, rest = len(load.event_ids) // 2, len(load.event_ids) - len(load.event_ids) // 2
    counts = [("a", 1, False), ("a", half, False), ("b", rest, False), ("gone", 5, True)]
    return Topics(
        {
            "enriched_events": [
                StoredRecord(value, its_partition=partition) for partition in rows for value in rows[partition]
            ],
            "sessions": [
                StoredRecord(
                    codec["sessions"].encode(session | {"event_count": count, "is_deleted": is_deleted}), key.encode()
                )
                for key, count, is_deleted in counts
            ],
            "identities": [
                StoredRecord(codec["identities"].encode(identity | {"anonymous_id": visitor, "user_id": user}))
                for visitor, user in load.links
            ],
        }
    )


def settings() -> Settings:
    return Settings.model_validate({"partitions": 3})


def verify(topics: Topics, load: Load) -> None:
    verify_streams(topics, settings(), load)


def test_right_outputs_pass(topics: Topics, load: Load) -> None:
    verify(topics, load)


@pytest.mark.parametrize("topic", ["enriched_events", "sessions", "identities"])
def test_one_record_lost_is_no_figure(topics: Topics, load: Load, topic: str) -> None:
    # Of sessions the last live one: earlier versions of a session may go.
    del topics.records[topic][2 if topic == "sessions" else -1]
    with pytest.raises(WrongOutputError):
        verify(topics, load)


def test_one_event_twice_is_no_figure(topics: Topics, load: Load) -> None:
    topics.records["enriched_events"].append(topics.records["enriched_events"][0])
    with pytest.raises(WrongOutputError, match="enriched events"):
        verify(topics, load)


def test_event_in_another_partition_is_no_figure(topics: Topics, load: Load) -> None:
    events = topics.records["enriched_events"]
    events[0] = replace(events[0], its_partition=events[0].its_partition + 1)
    with pytest.raises(WrongOutputError, match="partition"):
        verify(topics, load)


def test_dead_letter_is_no_figure(topics: Topics, load: Load) -> None:
    topics.records["dead_letters"] = [StoredRecord(b"")]
    with pytest.raises(WrongOutputError, match="dead letters"):
        verify(topics, load)


def test_loads_are_the_same_for_everyone_who_is_fed_from_them(load: Load) -> None:
    codec = ColumnCodec("raw_events", open_ids(None))
    records = [codec.decode(record["value"]) for record in load.records]
    assert load.claims == len({record["event_id"] for record in records if record["event_type"] == "identify"})
    assert load.keys == {record["key"] for record in load.records}
    again = make_load(Traffic(visitors=20, duplicate_share=0.1, identify_share=0.3).records(200))
    assert again.records == load.records


def test_rate_leaves_out_the_first_block_and_the_last_which_waits_for_its_age() -> None:
    steps = [(107.0, 200), (114.0, 410), (121.0, 600), (128.5, 610)]
    assert between_blocks(100.0, steps) == Filled(400, 14.0)
    assert between_blocks(100.0, steps[:2]) == Filled(410, 14.0)


def test_repeated_rows_are_the_same_but_for_their_offsets(load: Load) -> None:
    codec = ColumnCodec("enriched_events", open_ids(None))
    rows = enrich(settings(), load, 0)
    for partition, values in repeat(rows, 3).items():
        records = [codec.decode(value) for value in values]
        offsets = [record.pop("source_offset") for record in records]
        assert offsets == sorted(set(offsets))
        count = len(rows[partition])
        assert records[:count] == records[count : 2 * count] == records[2 * count :]
