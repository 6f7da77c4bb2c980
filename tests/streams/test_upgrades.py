"""From one release to the next on a real Kafka: states of the one before, and two releases in one group."""

import msgspec

from schemas import keys
from schemas.topics import changelog_of
from streams.runtime.exits import Exit
from tests.streams.accounting import assert_accounted, later, traffic
from tests.streams.newer_worker import NEXT_VERSION
from tests.streams.raw import RAW, key_of, raw_event
from tests.streams.readers import live, newest_identities
from tests.streams.released_states import SESSIONS, SLICE, START_MS
from tests.streams.rig import StreamsRig
from tests.streams.universe import TENANT, Row, made_uuid

CELL_MS = 1_800_000


def unversioned(applied: int, body: object) -> bytes:
    """A value as it was before there were versions."""
    return applied.to_bytes(8, signed=True) + START_MS.to_bytes(8) + msgspec.msgpack.encode(body)


def old_state(value: bytes, applied: int, cell: int) -> bytes:
    """A released session state, of an event at the start of a cell, that has the records up to an offset."""
    start = 17 if value[0] else 16
    newest_at, seen, (piece,), *rest = msgspec.msgpack.decode(value[start:])
    moved = cell * CELL_MS << 20
    for place, field in enumerate(piece):
        if isinstance(field, int) and field > START_MS:
            piece[place] = field - SLICE["first_at"] + moved
    piece[0] = cell
    body = msgspec.msgpack.encode([newest_at - SLICE["first_at"] + moved, seen, [piece], *rest])
    head = value[:1] if value[0] else b""
    return head + applied.to_bytes(8) + START_MS.to_bytes(8) + body


def test_a_worker_goes_on_with_the_changelogs_of_every_release(rig: StreamsRig) -> None:
    cell = START_MS // CELL_MS + 1
    names = [f"v{number}" for number in range(len(SESSIONS))]
    pairs = [
        (key_of(event), RAW.encode(event))
        for name in names
        for event in (visit(name, number, cell * CELL_MS + number * 1_000) for number in range(3))
    ]
    places = rig.kafka.produce("raw_events", pairs)
    changelog = changelog_of("raw_events", rig.settings)
    for number, (_, value, _) in enumerate(SESSIONS):
        partition, offset = places[number * 3 + 1]  # the third event is new
        rig.kafka.produce(changelog, [(pairs[number * 3][0], old_state(value, offset, cell))], partition)
    # A handshake token whose visitor was seen; its user comes now.
    token = keys.OF_HANDSHAKE.join((TENANT, "token"))
    sighting = unversioned(-1, [{}, {"v-token": [START_MS, START_MS]}, {}])
    probe = rig.kafka.produce("identity_claims", [(token, b"\0")])[0]
    rig.kafka.produce(changelog_of("identity_claims", rig.settings), [(token, sighting)], probe[0])
    context = '{"handshake_token":"token"}'
    user = raw_event(99, anonymous_id="", user_id="u9", context=context, properties=context)
    rig.produce([(key_of(user), RAW.encode(user))])
    worker = rig.worker()
    worker.start()
    rig.catch_up()
    found = {row["anonymous_id"]: row for row in rig.rows("sessions")}
    enriched = [row for row in rig.rows("enriched_events") if row["anonymous_id"].startswith("v")]
    assert sorted(row["event_name"] for row in enriched) == [f"{name} 2" for name in names]
    (session,) = {name for _, name in live(rig.rows("sessions")) if name == SLICE["session_id"]}
    assert {row["session_id"] for row in enriched} == {session}
    assert [row["event_count"] for row in rig.rows("sessions") if row["session_id"] == session] == [24] * len(names)
    assert found["ann"]["utm_campaign"] == "campaign"
    assert [name[1:] for name in newest_identities(rig.rows("identities"))] == [("v-token", "u9")]
    assert worker.terminate() == 0


def visit(visitor: str, number: int, at_ms: int) -> Row:
    ids = {name: made_uuid(f"{name} {visitor} {number}") for name in ("event_id", "message_id")}
    own = {"anonymous_id": visitor, "event_name": f"{visitor} {number}", "timestamp": at_ms, "received_at": at_ms}
    return raw_event(number, **ids, **own)


def test_two_releases_in_one_group_and_the_older_ends_at_the_first_state_it_cannot_read(rig: StreamsRig) -> None:
    events = traffic(3_000)
    rest, changing = rig.worker(), rig.worker()
    for worker in (rest, changing):
        worker.start()
    rig.produce(events[:1_000])
    rig.catch_up()
    # One of them is replaced and goes on with the states of the older; the other goes on with its own.
    assert changing.terminate() == 0
    changing.become("tests.streams.newer_worker")
    changing.start()
    rig.produce(events[1_000:])
    rig.catch_up()
    assert_accounted(rig)
    # Going back: the older is given partitions with states of the newer.
    assert changing.terminate() == 0
    changing.become("streams")
    rig.produce(later(events[:1_000]))
    changing.start_to_be_killed()
    rig.wait_until(lambda: changing.exit_code is not None, "the older ends at a state that it cannot read")
    assert changing.exit_code == Exit.STATE_UNREADABLE
    assert f"version {NEXT_VERSION}" in changing.log_tail(60)
    # Nothing is lost by it, and nothing is a dead letter: the newer takes them again.
    changing.become("tests.streams.newer_worker")
    changing.start()
    rig.catch_up()
    assert_accounted(rig)
    assert rig.records("dead_letters") == []
    assert [worker.terminate() for worker in (changing, rest)] == [0, 0]
