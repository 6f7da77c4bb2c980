"""A dead letter that is taken again is judged as it came then: times, address, agent, type, and its batch's context."""

from collections.abc import AsyncIterator
from random import getrandbits
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from collector.events.admit import Limits, admit, refuse_batch
from collector.events.arrival import Arrival
from collector.events.event_ids import EventIds
from collector.events.parse import Batch
from collector.events.readmit import DeadLetter, readmit
from collector.events.times import Bounds
from collector.server.admin import create_admin
from schemas.message_ids import MessageIds
from tests.collector.conftest import Serve, Served
from tests.collector.made import LIMITS, PROJECT, RECEIVED_AT, arrival, as_json, batch, directory_of, single, track

SMALL: Limits = LIMITS._replace(event_bytes_max=200)
LARGE_TEXT = "x" * 300


def dead_letter(sent: Batch, came: Arrival, limits: Limits = SMALL) -> DeadLetter:
    """The one event of these that the limits refuse, as the table would have it."""
    (refused,) = admit(sent, came, limits, EventIds(getrandbits)).refused
    return DeadLetter(
        refused.dead_letter_id,
        PROJECT.write_key,
        str(refused.reason),
        refused.payload,
        refused.arrival.decode(),
        refused.first_seen_at,
    )


def again(letter: DeadLetter, limits: Limits = LIMITS) -> Any:
    """The one event that it becomes now."""
    admission, outcome = readmit(letter, PROJECT, limits, EventIds(getrandbits))
    assert (outcome, admission.refused) == ("", [])
    (event,) = admission.admitted
    return event


def test_an_event_of_a_batch_keeps_its_times_context_address_and_agent() -> None:
    event = track(messageId="m1", timestamp="2026-11-18T10:00:00Z", properties={"text": LARGE_TEXT})
    sent = batch(event, sentAt="2026-11-18T13:00:00Z", context={"locale": "de-DE"})
    came = arrival(ip_address="198.51.100.4", user_agent="Shop/3.1")
    first = admit(sent, came, LIMITS, EventIds(getrandbits)).admitted[0]
    replayed = again(dead_letter(sent, came))
    for name in ("message_id", "timestamp", "received_at", "ip_address", "user_agent", "properties", "event_type"):
        assert getattr(replayed, name) == getattr(first, name), name
    context = msgspec.json.decode(replayed.context)
    assert context["locale"] == "de-DE"
    assert context["tally"]["replay_of"] == dead_letter(sent, came).dead_letter_id


def test_a_route_s_type_and_an_import_s_old_times_are_kept() -> None:
    event = {"userId": "u", "event": "Old", "timestamp": "2025-06-01T00:00:00Z", "properties": {"t": LARGE_TEXT}}
    came = arrival("track", is_import=True)
    limits = LIMITS._replace(import_times=Bounds(800 * 86400, 3600))
    first = admit(single(event), came, limits, EventIds(getrandbits)).admitted[0]
    replayed = again(dead_letter(single(event), came, limits._replace(event_bytes_max=100)), limits)
    assert (replayed.event_type, replayed.timestamp) == ("track", first.timestamp)


def test_without_a_message_id_it_is_the_same_event_each_time() -> None:
    letter = dead_letter(single(track(properties={"text": LARGE_TEXT})), arrival())
    assert {again(letter).message_id for _ in range(3)} == {letter.dead_letter_id}
    assert len({again(letter).event_id for _ in range(3)}) == 3


def test_what_is_refused_again_is_the_dead_letter_that_it_was() -> None:
    letter = dead_letter(single(track(properties={"text": LARGE_TEXT})), arrival())
    admission, outcome = readmit(letter, PROJECT, SMALL, EventIds(getrandbits))
    (refused,) = admission.refused
    assert outcome == "event_too_large" == str(refused.reason)
    assert (refused.dead_letter_id, refused.arrival.decode()) == (letter.dead_letter_id, letter.arrival)
    assert refused.first_seen_at == letter.first_seen_at


def test_a_dead_letter_of_before_arrivals_were_kept_is_taken_as_well_as_can_be() -> None:
    letter = dead_letter(single(track(properties={"text": LARGE_TEXT})), arrival())
    letter.arrival, letter.first_seen_at = "", RECEIVED_AT - 86_400_000
    event = again(letter)
    assert (event.received_at, event.ip_address) == (RECEIVED_AT - 86_400_000, "")


def test_of_a_batch_that_was_too_long_each_event_is_judged_for_itself_and_is_the_same_each_time() -> None:
    limits = LIMITS._replace(batch_events_max=3)
    body = as_json({"batch": [track(), track(), track(messageId="m"), {"type": "nothing"}], "context": {"a": 1}})
    sent = batch(*[track()] * 4)
    (refused,) = refuse_batch(sent, body, arrival(), limits).refused
    letter = DeadLetter(
        refused.dead_letter_id, "", str(refused.reason), body, refused.arrival.decode(), refused.first_seen_at
    )
    assert readmit(letter, PROJECT, limits, EventIds(getrandbits))[1] == "batch_too_long"
    seen = []
    for _ in range(2):
        admission, outcome = readmit(letter, PROJECT, LIMITS, EventIds(getrandbits))
        assert (outcome, len(admission.admitted), len(admission.refused)) == ("", 3, 1)
        seen.append([event.message_id for event in admission.admitted])
        assert all(b'"a":1' in event.context for event in admission.admitted)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 3  # not one event for all: deduplication would keep the first
    assert seen[0][2] == MessageIds(PROJECT.project_id)("m")


def test_a_context_beneath_many_events_is_not_kept_with_each_of_them() -> None:
    context = {"large": "y" * 20_000}
    sent = batch(*[track()] * 300, context=context)
    refused = admit(sent, arrival(), LIMITS, EventIds(getrandbits)).refused
    assert len(refused) == 300
    assert sum(len(event.arrival) for event in refused) < 300 * 1_000
    assert all(b"contextBytes" in event.arrival for event in refused)


@pytest.fixture
def letters() -> list[dict[str, Any]]:
    letter = dead_letter(single(track(messageId="m1", properties={"text": LARGE_TEXT})), arrival())
    known = msgspec.to_builtins(letter)
    return [known, known | {"writeKey": "unknown"}]


@pytest.fixture
async def admin(serve: Serve) -> AsyncIterator[tuple[Served, TestClient[Any, Any]]]:
    """A collector and a client of its admin port."""
    served = await serve(directory_of())
    application = create_admin(served.registry, lambda: None, lambda: "", served.ingest.replay)
    async with TestClient(TestServer(application)) as client:
        yield served, client


async def test_the_admin_port_takes_dead_letters_and_answers_what_became_of_each(
    admin: tuple[Served, TestClient[Any, Any]], letters: list[dict[str, Any]]
) -> None:
    served, client = admin
    async with client.post("/replay", json=letters) as answer:
        assert (answer.status, await answer.json()) == (200, ["", "project_unknown_or_disabled"])
    (event,) = served.publisher.decoded("raw_events")
    assert event["client_message_id"] == "m1"


async def test_what_kafka_does_not_acknowledge_is_no_success(
    admin: tuple[Served, TestClient[Any, Any]], letters: list[dict[str, Any]]
) -> None:
    served, client = admin
    served.publisher.durable = False
    async with client.post("/replay", json=letters) as answer:
        assert answer.status == 503
    served.publisher.inflight_bytes_max = 0
    async with client.post("/replay", json=letters) as answer:
        assert answer.status == 503


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"deadLetterId":"x"}]', b"\xff"])
async def test_what_is_no_list_of_dead_letters_is_refused_by_name(
    admin: tuple[Served, TestClient[Any, Any]], body: bytes
) -> None:
    _, client = admin
    async with client.post("/replay", data=body) as answer:
        assert answer.status == 400
        assert "dead letters" in await answer.text()
