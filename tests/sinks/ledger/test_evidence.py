"""What the ledger is told: one suite for Kafka with ClickHouse and for the evidence in memory that stands in for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from confluent_kafka import TopicPartition

from sinks.ledger.account import RawEvent
from sinks.ledger.evidence import TableEvidence, TopicEvidence
from tests.sinks.accounts import Accounts
from tests.sinks.memory_ledger import MemoryEvidence
from tests.sinks.records import PROJECT
from tests.sinks.rig import SinkRig

# Of six raw events 3 is a copy of 1 and 4 is lost; of the others the table refused 2.
END = 6
ROWS = {0, 1, 5}
REFUSED = {2}
REPEATS = {3: 1}


@dataclass(frozen=True)
class Subject:
    """trim: raw_events loses what is below an offset."""

    topics: TopicEvidence
    tables: TableEvidence
    trim: Callable[[int], None]

    def events(self, *offsets: int) -> list[RawEvent]:
        return list(self.topics.read(0, np.array(offsets, np.int64)))


@pytest.fixture(params=["memory", pytest.param("servers", marks=pytest.mark.integration)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "memory":
        memory = MemoryEvidence(END, 0, set(ROWS), set(REFUSED), REPEATS, project_id=PROJECT)
        yield Subject(memory, memory, lambda low: setattr(memory, "low", low))
        return
    rig: SinkRig = request.getfixturevalue("rig")
    rig.found_group()
    accounts = Accounts(rig)
    accounts.accept(END, repeats=REPEATS)
    accounts.hand_on(END, left_out={*REPEATS, 4}, refused=REFUSED)
    sink = rig.sink("enriched_events", "dead_letters")
    sink.start()
    rig.wait_for_rows(len(ROWS))
    rig.wait_for_rows(len(REFUSED), "dead_letters")
    assert sink.terminate() == 0
    place = TopicPartition(rig.settings.topic("raw_events"), 0)

    def trim(low: int) -> None:
        place.offset = low
        rig.kafka.admin.delete_records([place])[place].result(30)

    with accounts.sources() as (reader, topics):
        yield Subject(topics, reader.ledger, trim)


def test_evidence_of_a_partition(subject: Subject) -> None:
    topics, tables = subject.topics, subject.tables
    assert 0 in topics.partitions()
    assert topics.bounds(0) == (0, END)
    assert topics.processed(0) == END
    assert topics.sink(0) == (5, False)

    ends = topics.dead_letter_ends()
    assert sum(ends.values()) == len(REFUSED)
    assert topics.dead_letters_written(ends)
    assert not topics.dead_letters_written({partition: end + 1 for partition, end in ends.items()})

    events = subject.events(0, 1, 3, 4)
    assert [(event.offset, event.project_id) for event in events] == [(at, PROJECT) for at in (0, 1, 3, 4)]
    ids = {event.offset: event.message_id for event in events}
    assert ids[3] == ids[1]
    assert len(set(ids.values())) == 3

    stored = tables.stored(0, 0, END)
    assert [offsets.tolist() for offsets in stored] == [[0, 1, 5], [], [2]]
    assert [offsets.tolist() for offsets in tables.stored(0, 1, 3)] == [[1], [], [2]]
    assert tables.kept(subject.events(3, 4)) == {(PROJECT, ids[1])}
    (refused,) = subject.events(2)
    assert tables.kept([refused]) == {(PROJECT, refused.message_id)}
    assert sorted(tables.by_project(0, 0, END)) == [("dead", PROJECT, 1), ("stored", PROJECT, 3)]
    assert sorted(tables.by_project(0, 3, END)) == [("stored", PROJECT, 1)]

    subject.trim(2)
    assert topics.bounds(0) == (2, END)
    assert [event.offset for event in subject.events(0, 1, 3)] == [3]
