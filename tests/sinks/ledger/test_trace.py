"""`trace` tells the truth: of two projects, of lost events, of ten thousand projects, of whatever clients write."""

import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docker.local.kafka import KafkaServer
from schemas.apply.tables import clickhouse
from schemas.message_ids import MessageIds
from schemas.registry import open_ids
from schemas.settings import Settings
from sinks.errors import ReadFailedError
from sinks.ledger.account import RawEvent
from sinks.ledger.kafka import KafkaTopics
from sinks.ledger.outcomes import LedgerOutcome
from sinks.ledger.trace import COPIES_MAX, Copies, Progress, Row, Sighting, Tracer, judge, names_of, needles
from tests.sinks.accounts import Accounts, raw
from tests.sinks.records import PROJECT, event, framed
from tests.sinks.rig import SinkRig

OTHER_PROJECT = "33333333-3333-4333-8333-333333333333"
TEXT = "ajs-next-1"


@pytest.fixture
def accounts(rig: SinkRig) -> Accounts:
    rig.found_group()
    return Accounts(rig)


def trace(accounts: Accounts, text: str, since_ms: int | None = None) -> list[Sighting]:
    with accounts.sources() as (reader, topics):
        return Tracer(1, topics, reader.trace, lambda _seconds: None).find(text, since_ms)


def places(sightings: list[Sighting]) -> list[tuple[str, str]]:
    return sorted((sighting.outcome.words, sighting.project_id) for sighting in sightings)


def named(text: str, project_id: str, **fields: Any) -> dict[str, Any]:
    """Fields of an event of this project with this messageId."""
    return {"project_id": project_id, "client_message_id": text, "message_id": MessageIds(project_id)(text)} | fields


def test_a_dead_letter_of_the_sink_and_its_repeat_are_told_with_the_reason(accounts: Accounts) -> None:
    accounts.accept(4, repeats={3: 1})
    accounts.hand_on(4, left_out={3}, refused={1})
    accounts.rig.sink("enriched_events", "dead_letters").start()
    accounts.settled()
    sightings = trace(accounts, event(1)["client_message_id"])
    assert places(sightings) == [("dead letter", PROJECT), ("duplicate", PROJECT)]
    (told,) = [sighting.particulars for sighting in sightings if sighting.outcome is LedgerOutcome.DEAD]
    assert "row_refused in sinks" in told
    assert "no uuid" in told


def test_one_project_s_row_says_nothing_of_another_s_event_and_a_lost_row_is_lost(accounts: Accounts) -> None:
    fields = [named(TEXT, PROJECT), named(TEXT, OTHER_PROJECT), named("kept", PROJECT), named(TEXT, OTHER_PROJECT)]
    accounts.accept_all([raw(offset, **of) for offset, of in enumerate(fields)])
    values = [framed(0, **fields[0]), framed(2, **fields[2])]  # the other project's at 1 is gone on the way
    accounts.rig.produce("enriched_events", values)
    accounts.commit(3)
    accounts.rig.sink("enriched_events", "dead_letters").start()
    accounts.rig.wait_until(lambda: accounts.ledger().total.in_flight == 1, accounts.ledger)
    assert places(trace(accounts, TEXT)) == [
        ("in flight", OTHER_PROJECT),
        ("lost", OTHER_PROJECT),
        ("stored", PROJECT),
    ]
    assert places(trace(accounts, "kept")) == [("stored", PROJECT)]
    assert trace(accounts, "never sent") == []


def test_what_was_accepted_before_is_not_read_and_a_uuid_is_found_in_either_case(accounts: Accounts) -> None:
    text = str(uuid.uuid4())
    accounts.accept_all([raw(0, **named(text, PROJECT)), raw(1, **named(text.upper(), PROJECT))])
    assert places(trace(accounts, text.upper())) == places(trace(accounts, text)) == [("in flight", PROJECT)] * 2
    read: list[str] = []
    with accounts.sources() as (reader, topics):
        tracer = Tracer(1, topics, reader.trace, lambda _seconds: None, read.append)
        assert tracer.find(text, since_ms=4_000_000_000_000) == []
    assert read == []


def test_ten_thousand_projects_are_asked_for_in_pieces(accounts: Accounts) -> None:
    with clickhouse(accounts.rig.settings) as client:
        client.execute(
            "INSERT INTO projects (project_id, tenant_id, name, created_at, updated_at) "
            "SELECT generateUUIDv4(), generateUUIDv4(), 'many', now64(3), now64(3) FROM numbers(10000)"
        )
    accounts.accept_all([raw(0, **named(TEXT, PROJECT))])
    assert places(trace(accounts, TEXT)) == [("in flight", PROJECT)]


def test_a_kafka_that_does_not_answer_is_said_and_no_event_is_called_lost(
    rig: SinkRig, own_kafka: KafkaServer, unique_name: str
) -> None:
    settings = Settings.model_validate({"kafka_bootstrap": own_kafka.bootstrap, "topic_prefix": unique_name})
    apart = SinkRig.create(rig.home, own_kafka, rig.clickhouse, settings.clickhouse_database, unique_name)
    accounts = Accounts(apart)
    accounts.accept(20)
    topics = KafkaTopics(apart.settings, open_ids(None), timeout_s=2.0)
    wanted = np.arange(20, dtype=np.int64)
    try:
        assert [found.offset for found in topics.read(0, wanted)] == list(range(20))
        own_kafka.suspend()
        with pytest.raises(ReadFailedError, match="has not answered"):
            list(topics.read(0, wanted))
    finally:
        own_kafka.resume()
        topics.close()
        apart.close()


PROGRESS = Progress(generation=1, partition=0, processed=10, settled=5)


@pytest.mark.parametrize(
    ("offset", "name", "rows", "where"),
    [
        (3, ("p", "m"), [("p", "m", 1, 9)], "duplicate"),
        (3, ("p", "m"), [("q", "m", 1, 9)], "lost"),  # another project's row
        (3, ("p", "m"), [], "lost"),
        (7, ("p", "m"), [], "in flight"),
        (11, ("p", "m"), [("p", "m", 1, 9)], "in flight"),
        (3, ("p", "m"), [("p", "m", 2, 3)], "duplicate"),  # another generation's offset 3
        (3, ("p", "dead"), [], "duplicate"),
    ],
)
def test_where_a_copy_is_follows_from_its_own_project_and_place(
    offset: int, name: tuple[str, str], rows: list[tuple[str, str, int, int]], where: str
) -> None:
    stored = [Row((project, message), generation, 0, place, "") for project, message, generation, place in rows]
    sightings = list(judge(PROGRESS, [RawEvent(offset, *name)], stored, {}, {("p", "dead")}))
    assert [sighting.outcome.words for sighting in sightings] == [where]


def test_a_copy_that_has_the_row_is_not_told_again() -> None:
    assert list(judge(PROGRESS, [RawEvent(3, "p", "m")], [Row(("p", "m"), 1, 0, 3, "")], {}, set())) == []


def test_an_event_sent_for_ever_is_counted_and_not_kept() -> None:
    copies = Copies()
    copies.collect((RawEvent(offset, "p", "m", TEXT) for offset in range(COPIES_MAX + 7)), TEXT)
    copies.collect([RawEvent(0, "p", "m", "another")], TEXT)
    assert (len(copies.kept), copies.more) == (COPIES_MAX, 7)


@given(st.text(max_size=200), st.uuids())
def test_what_is_looked_for_is_what_the_collector_made_of_the_message_id(text: str, project: uuid.UUID) -> None:
    made = MessageIds(str(project))(text)
    assert names_of(text, [str(project)], []) == {(str(project), made)}
    assert any(needle in f"…{text}{made}".encode() for needle in needles(text))
