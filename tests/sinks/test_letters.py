"""Dead letters are sent through again, each by its own way. Without servers."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.registry import open_ids
from sinks import watermark
from sinks.delivery import Delivery
from sinks.healing import Healing
from sinks.letters import Filter, Replayer, ReplayError, age
from sinks.letters_redelivery import Letter, NoRowError, Patience, Redelivery, Refusals, Way
from sinks.routes import ROUTES
from sinks.schema_texts import SchemaTexts
from sinks.writer import WriteFailedError
from tests.sinks.memory import MemoryTable, MemoryWriter
from tests.sinks.records import framed, framed_all, session

TOPIC = "prefix_enriched_events"


def letter(offset: int, raw: int, stage: str = "sinks", topic: str = TOPIC, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "dead_letter_id": f"id-{offset}",
        "project_id": "project",
        "stage": stage,
        "payload": framed(raw),
        "source_topic": topic,
        "source_partition": 0,
        "source_offset": offset,
        "source_key": "key",
    }
    return made | fields


class Ways:
    """The ways into tables in memory, with all that was opened."""

    def __init__(self, writer: MemoryWriter) -> None:
        self.writer = writer
        self.patience = Patience()

    def __call__(self, topic: str) -> Way | None:
        route = ROUTES.get(topic.removeprefix("prefix_"))
        if route is None:
            return None
        refusals = Refusals()
        healing = Healing(self.writer, self.patience, 1 << 20, 5.0, time.monotonic)
        delivery = Delivery(
            route, self.writer, refusals, healing, lambda _values: [1], 0.001, 60, time.monotonic, self.patience
        )
        return Way(route, SchemaTexts(route.topic, open_ids(None)).verdict, delivery, refusals, self.patience)


def redeliver(writer: MemoryWriter, letters: Sequence[Letter]) -> list[str]:
    redelivery = Redelivery(Ways(writer), time.monotonic)
    for one in letters:
        redelivery.add(one)
    return redelivery.finish()


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=30), st.sets(st.integers(0, 30)))
def test_each_source_stands_once_and_the_refused_ones_are_named(
    letters: list[tuple[int, bool]], already: set[int]
) -> None:
    bad = {framed(raw) for raw, is_bad in letters if is_bad}
    table = MemoryTable()
    table.rows = [framed(raw) for raw in already]
    table.sources = [(0, watermark.pack(1, raw)) for raw in already]
    writer = MemoryWriter(table, refuses=bad.__contains__)
    given_letters = [letter(100 + index, raw) for index, (raw, _) in enumerate(letters)]
    first = redeliver(writer, given_letters)
    expected_bad = {raw for raw, _ in letters if framed(raw) in bad} - already
    assert sorted(table.rows) == sorted(
        {framed(raw) for raw, _ in letters if framed(raw) not in bad} | set(map(framed, already))
    )
    assert len(first) == len(expected_bad)
    assert all("is refused again" in problem for problem in first)
    before = list(table.rows)
    assert redeliver(writer, given_letters) == first
    assert table.rows == before


def test_rows_go_in_batches_and_not_one_by_one() -> None:
    writer = MemoryWriter(MemoryTable())
    assert redeliver(writer, [letter(offset, offset) for offset in range(2_500)]) == []
    assert [len(rows) for _, rows in writer.inserts] == [1_000, 1_000, 500]


def test_sources_far_apart_are_not_asked_for_at_once() -> None:
    writer = MemoryWriter(MemoryTable())
    assert redeliver(writer, [letter(0, 5), letter(1, 6), letter(2, 5_000_000)]) == []
    assert [len(rows) for _, rows in writer.inserts] == [2, 1]


def test_generations_and_topics_do_not_share_a_batch() -> None:
    writer = MemoryWriter(MemoryTable())
    other = letter(1, 0, topic="prefix_sessions", payload=framed_all("sessions", [session(1, 1)])[0])
    assert redeliver(writer, [letter(0, 5), letter(2, 5, payload=framed(5, generation=2)), other]) == []
    assert [len(rows) for _, rows in writer.inserts] == [1, 1, 1]


def test_the_token_is_none_of_a_batch_that_was_written() -> None:
    writer = MemoryWriter(MemoryTable())
    redeliver(writer, [letter(0, 5)])
    redeliver(writer, [letter(0, 5), letter(1, 6)])
    tokens = [token for token, _ in writer.inserts]
    assert len(set(tokens)) == 2
    assert all(token.startswith("replay-") for token in tokens)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"topic": "prefix_raw_events"}, "no topic that sinks write"),
        ({"payload": b"not framed"}, "no schema"),
        ({"payload": framed(5, partition=1)}, "place in raw_events"),
        ({"payload": b""}, "place in raw_events|no schema"),
    ],
)
def test_what_is_no_row_is_refused_with_the_reason(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(NoRowError, match=why):
        redeliver(MemoryWriter(MemoryTable()), [letter(0, 5, **fields)])


def test_a_database_that_is_away_is_given_up_and_said_of_each() -> None:
    writer = MemoryWriter(MemoryTable())
    writer.troubles = [(WriteFailedError("away"), False)] * 50
    problems = redeliver(writer, [letter(0, 5), letter(1, 5_000_000)])
    assert [problem.split(":")[0] for problem in problems] == ["dead letter id-0", "dead letter id-1"]
    assert len(writer.troubles) == 45


def test_an_answer_that_was_lost_doubles_nothing() -> None:
    table = MemoryTable()
    writer = MemoryWriter(table)
    writer.troubles = [(WriteFailedError("answer lost"), True)]
    assert redeliver(writer, [letter(0, 5)]) == []
    assert table.rows == [framed(5)]


class Producer:
    """Takes everything, delivers all but what `fails` says."""

    def __init__(self, fails: int = 0) -> None:
        self.sent: list[tuple[str, bytes, bytes]] = []
        self._fails = fails

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Any) -> None:
        self.sent.append((topic, value, key))

    def poll(self, _timeout_s: float) -> None:
        """Nothing to wait for."""

    def flush(self, _timeout_s: float) -> int:
        return self._fails


def replayer(
    producer: Producer, write_keys: Mapping[str, str] | None = None, pauses: list[float] | None = None
) -> Replayer:
    redelivery = Redelivery(Ways(MemoryWriter(MemoryTable())), time.monotonic)
    sleep = (pauses if pauses is not None else []).append
    return Replayer("http://127.0.0.1:9", write_keys or {}, producer, redelivery, 4.0, sleep)


def test_a_record_of_streams_goes_to_its_topic_under_its_own_key() -> None:
    producer = Producer()
    sender = replayer(producer)
    sender.replay(letter(3, 3, stage="streams", topic="prefix_raw_events"))
    assert producer.sent == [("prefix_raw_events", framed(3), b"key")]
    assert sender.finish() == []


def test_what_cannot_be_sent_says_why() -> None:
    sender = replayer(Producer(), {"known": "key"})
    for bad, why in (
        (letter(0, 0, stage="streams", source_key=""), "has no key"),
        (letter(0, 0, stage="nobody"), "unknown stage"),
        (letter(0, 0, stage="collector"), "no write key"),
        (letter(0, 0, stage="collector", project_id="known"), "did not take it"),
        (letter(0, 0, payload=b"x"), "no schema"),
    ):
        with pytest.raises(ReplayError, match=why):
            sender.replay(bad)


def test_what_was_not_delivered_is_a_problem_each() -> None:
    sender = replayer(Producer(fails=2))
    assert len(sender.finish()) == 2


def test_the_rate_is_kept_by_pauses() -> None:
    pauses: list[float] = []
    sender = replayer(Producer(), pauses=pauses)
    for offset in range(3):
        sender.replay(letter(offset, offset))
    assert pauses == [0.25] * 3


def test_a_filter_joins_what_is_given() -> None:
    assert Filter().where() == ("1", {})
    where, values = Filter(reason="row_refused", since_ms=5).where()
    assert values == {"reason": "row_refused", "since_ms": 5}
    assert where.count(" AND ") == 2


def test_ages_are_for_people() -> None:
    ages = {3: "3 s", 60: "1 min", 7_300: "2 h", 200_000: "2 d", -5: "0 s"}
    assert {seconds: age(1_800_000_000, (1_800_000_000 - seconds) * 1000) for seconds in ages} == ages
