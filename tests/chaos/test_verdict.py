"""The verdict, without servers: a sound world passes, and each fault planted in it is seen, alone and as what it is."""

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest

from docker.local import PROJECT_ROOT
from streams.sessions.chains import SessionRules
from tests.chaos.batches import Batches, Event
from tests.chaos.expected import Letter, Row, Sent, event_row, expect, letters, message_id
from tests.chaos.rollups import RolledUp, Summing
from tests.chaos.tables import JUDGED, UNJUDGED, Found
from tests.chaos.verdict import KINDS, judge

START_MS = 1_795_000_000_000
POISON = Letter("streams", "raw_events", 2, 7, "ab" * 32, "not_avro", "", "", "")
EVENTS_WITH_NO_ANSWER = 3
SOUND_LEDGER = {"sound": True, "difference": 0}


@dataclass
class World:
    """A run that went well, for faults to be planted in."""

    sent: Sent
    rows: list[Row]
    found: Found
    exits: list[str] = field(default_factory=list)
    not_fired: list[str] = field(default_factory=list)
    spoil_rollups: Callable[[RolledUp], object] = lambda rollups: None

    def wrong(self) -> dict[str, int]:
        """The judgement. The roll-ups are those of the rows, whatever is wrong with these."""
        summing = Summing()
        for row in self.rows:
            summing.add(row)
        rollups = summing.result()
        self.spoil_rollups(rollups)
        found = replace(self.found, events=iter(self.rows), rollups=rollups)
        return judge(self.sent, found, exits=self.exits, not_fired=self.not_fired).wrong


def a_sound_world() -> World:
    """200 events; one of three that got no answer is there."""
    sent, rows, found = _made()
    own = replace(
        found,
        sessions=[dict(row) for row in found.sessions],
        identities=[dict(row) for row in found.identities],
        dead_letters=Counter(found.dead_letters),
        ledger=dict(found.ledger),
    )
    return World(replace(sent, wrong_answers=[]), [dict(row) for row in rows], own)


@cache
def _made() -> tuple[Sent, list[Row], Found]:
    batches = Batches(23, START_MS, 10_000.0)
    sent = Sent(
        tenant_id=str(uuid.UUID(int=1)),
        project_id=str(uuid.UUID(int=2)),
        rules=SessionRules(gap_ms=1_800_000, lateness_ms=86_400_000, cells_max=48),
        secrets=frozenset({"password"}),
        poison=Counter([POISON]),
        began_ms=START_MS,
        ended_ms=START_MS + 10_000_000,
    )
    for _ in range(4):
        batch = batches.batch(50)
        sent.accepted |= {event.message_id: event for event in batch.events}
        sent.refused |= {refused.message_id: refused for refused in batch.refused}
    sent.unsure = {event.message_id: event for event in batches.batch(200).events[:EVENTS_WITH_NO_ANSWER]}
    stored = [*sent.accepted.values(), next(iter(sent.unsure.values()))]
    expected = expect(stored, sent)
    rows = [_row(number, event, sent, expected.session_of) for number, event in enumerate(stored)]
    must, _ = letters(sent)
    sessions = [{"version": 1} | row for row in expected.sessions.values()]
    identities = [dict(row) for row in expected.identities.values()]
    return sent, rows, Found((), sessions, frozenset(), identities, must, SOUND_LEDGER)


def _row(number: int, event: Event, sent: Sent, sessions: dict[str, tuple[str, frozenset[str]]]) -> Row:
    """The event's row as the servers would write it."""
    return event_row(event, sent) | {
        "event_id": str(uuid.UUID(int=number | 7 << 76)),
        "received_at": START_MS + 1_000 + number,
        "processed_at": START_MS + 2_000 + number,
        "session_id": sessions[event.message_id][0],
        "source_generation": 1,
        "source_partition": number % 4,
        "source_offset": number // 4,
    }


def test_a_sound_world_passes() -> None:
    world = a_sound_world()
    assert world.wrong() == {}
    assert len(world.rows) > 180
    assert len(world.found.sessions) > 50
    assert len(world.found.identities) > 10
    assert world.found.dead_letters.total() > 1
    assert {event.event_type for event in world.sent.accepted.values()} == {
        "page", "track", "identify", "screen", "group", "alias",
    }  # fmt: skip


def lose_an_event(world: World) -> None:
    """With it goes what it did to its session and identity, so that only it is missing: the row alone."""
    del world.rows[17]


def double_an_event(world: World) -> None:
    world.rows.append(dict(world.rows[17]))


def store_an_event_nobody_sent(world: World) -> None:
    place = {"source_offset": 10**6, "event_id": str(uuid.UUID(int=10**6 | 7 << 76))}
    world.rows.append(world.rows[17] | place | {"client_message_id": "nobody's"})


def forget_a_session(world: World) -> None:
    del world.found.sessions[3]


def invent_a_session(world: World) -> None:
    world.found.sessions.append(world.found.sessions[3] | {"session_id": str(uuid.UUID(int=3))})


def show_a_session_twice(world: World) -> None:
    world.found.sessions.append(dict(world.found.sessions[3]))


def forget_an_identity(world: World) -> None:
    del world.found.identities[3]


def invent_an_identity(world: World) -> None:
    world.found.identities.append(world.found.identities[3] | {"user_id": "somebody else"})


def keep_a_secret(world: World) -> None:
    world.found.identities[3]["traits"] = '{"password":"12345"}'


def lose_a_dead_letter(world: World) -> None:
    del world.found.dead_letters[POISON]


def double_a_dead_letter(world: World) -> None:
    world.found.dead_letters[POISON] += 1


def add_a_dead_letter_of_the_same_place_with_other_bytes(world: World) -> None:
    world.found.dead_letters[POISON._replace(payload_hash="cd" * 32)] += 1


def give_a_dead_letter_another_reason(world: World) -> None:
    del world.found.dead_letters[POISON]
    world.found.dead_letters[POISON._replace(reason="schema_mismatch")] += 1


def double_a_refused_event(world: World) -> None:
    refused = next(letter for letter in world.found.dead_letters if letter.stage == "collector")
    world.found.dead_letters[refused] += 1


def answer_400(world: World) -> None:
    world.sent.wrong_answers.append("400 malformed")


def unbalance_the_ledger(world: World) -> None:
    world.found.ledger["difference"] = 1


def find_the_ledger_unsound(world: World) -> None:
    world.found.ledger["sound"] = False


def have_no_ledger(world: World) -> None:
    world.found.ledger.clear()


def end_a_process(world: World) -> None:
    world.exits.append("sinks-0 ended by itself with 1")


def let_a_fault_misfire(world: World) -> None:
    world.not_fired.append("kill_sink_at_after_plan")


def forget_an_hour(world: World) -> None:
    world.spoil_rollups = lambda rollups: rollups.hourly.pop(next(iter(rollups.hourly)))


def double_a_day(world: World) -> None:
    world.spoil_rollups = lambda rollups: rollups.daily.update([next(iter(rollups.daily))])


def invent_a_bucket(world: World) -> None:
    world.spoil_rollups = lambda rollups: rollups.hourly.update([(0, "nobody's")])


def miscount_visitors(world: World) -> None:
    def spoil(rollups: RolledUp) -> None:
        hour, visitors = next(iter(rollups.visitors.items()))
        rollups.visitors = {**rollups.visitors, hour: visitors - 1}

    world.spoil_rollups = spoil


def miscount_sessions(world: World) -> None:
    def spoil(rollups: RolledUp) -> None:
        hour, sessions = next(iter(rollups.sessions.items()))
        rollups.sessions = {**rollups.sessions, hour: sessions + 1}

    world.spoil_rollups = spoil


def find_a_bucket_wrong(world: World) -> None:
    world.spoil_rollups = lambda rollups: rollups.faults.append("events_hourly: project p, 2026-11-01 10:00 UTC")


PLANTED: dict[Callable[[World], None], dict[str, int]] = {
    lose_an_event: {"lost": 1},
    double_an_event: {"doubled": 1},
    store_an_event_nobody_sent: {"unknown": 1},
    forget_a_session: {"sessions": 1},
    invent_a_session: {"sessions": 1},
    show_a_session_twice: {"sessions": 1},
    forget_an_identity: {"identities": 1},
    invent_an_identity: {"identities": 1},
    keep_a_secret: {"identities": 1},
    lose_a_dead_letter: {"dead_letters": 1},
    double_a_dead_letter: {"dead_letters": 1},
    add_a_dead_letter_of_the_same_place_with_other_bytes: {"dead_letters": 1},
    give_a_dead_letter_another_reason: {"dead_letters": 2},
    double_a_refused_event: {"dead_letters": 1},
    answer_400: {"answers": 1},
    unbalance_the_ledger: {"ledger": 1},
    find_the_ledger_unsound: {"ledger": 1},
    have_no_ledger: {"ledger": 1},
    end_a_process: {"exits": 1},
    let_a_fault_misfire: {"faults": 1},
    forget_an_hour: {"rollups": 1},
    double_a_day: {"rollups": 1},
    invent_a_bucket: {"rollups": 1},
    miscount_visitors: {"rollups": 1},
    miscount_sessions: {"rollups": 1},
    find_a_bucket_wrong: {"rollups": 1},
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_seen_as_what_it_is(plant: Callable[[World], None]) -> None:
    world = a_sound_world()
    plant(world)
    assert world.wrong() == PLANTED[plant]


def test_every_kind_of_verdict_has_a_planted_fault() -> None:
    planted = {kind for wrong in PLANTED.values() for kind in wrong} | {"events"}  # by the columns below
    assert planted == {*KINDS, "ledger"}


OTHERWISE: dict[str, object] = {"is_bot": "?", "timestamp": -1, "received_at": 0, "processed_at": 0}


@pytest.mark.parametrize("column", sorted(set(JUDGED["events"]) - {"client_message_id"}))
def test_each_column_of_an_event_is_judged(column: str) -> None:
    world = a_sound_world()
    first, second = world.rows[17:19]
    places = {name: second[name] for name in ("source_generation", "source_partition", "source_offset")}
    if column in places:
        first |= places  # nobody knows what it must be, but not that of another
    else:
        first[column] = OTHERWISE.get(column, "otherwise than it was sent")
    assert world.wrong() == {"events": 1}


@pytest.mark.parametrize("column", sorted(set(JUDGED["sessions"]) - {"session_id"}))
def test_each_column_of_a_session_is_judged(column: str) -> None:
    world = a_sound_world()
    world.found.sessions[3][column] = "otherwise"
    assert world.wrong() == {"sessions": 1}


@pytest.mark.parametrize("column", sorted(set(JUDGED["identities"]) - {"anonymous_id", "user_id"}))
def test_each_column_of_an_identity_is_judged(column: str) -> None:
    world = a_sound_world()
    world.found.identities[3][column] = "otherwise"
    assert world.wrong() == {"identities": 1}


@pytest.mark.parametrize("column", Letter._fields)
def test_each_column_of_a_dead_letter_is_judged(column: str) -> None:
    world = a_sound_world()
    del world.found.dead_letters[POISON]
    others = {name: -5 if name in ("partition", "offset") else "otherwise" for name in Letter._fields}
    world.found.dead_letters[Letter._make({**POISON._asdict(), column: others[column]}.values())] += 1
    assert world.wrong() == {"dead_letters": 2}


@pytest.mark.parametrize("table", JUDGED)
def test_every_column_of_a_table_is_judged_or_said_not_to_be(table: str) -> None:
    """A new column turns this red: say in tables.py what it must be, or that nobody who sends an event can know."""
    ddl = Path(PROJECT_ROOT, "schemas", "ddl", "clickhouse", f"{table}.sql").read_text()
    body = ddl.split("\n(\n", 1)[1].split("\n)\n", 1)[0]
    columns = set(re.findall(r"^    ([a-z_]+) +[A-Z]", body, re.MULTILINE))
    assert columns == set(JUDGED[table]) | UNJUDGED[table]


def test_an_event_whose_session_leads_nowhere_is_wrong() -> None:
    world = a_sound_world()
    world.found.dangling = ["some event"]
    assert world.wrong() == {"events": 1}


def test_a_row_may_name_the_session_that_its_own_was_merged_from() -> None:
    world = a_sound_world()
    expected = expect(world.sent.accepted.values(), world.sent)
    name, (now, ever) = next((name, ids) for name, ids in expected.session_of.items() if len(ids[1]) > 1)
    (before,) = sorted(ever - {now})[:1]
    row = next(row for row in world.rows if row["client_message_id"] == name)
    row["session_id"] = before
    assert world.wrong() == {"events": 1}  # nothing leads on from there
    world.found.tombstones = frozenset({before})
    assert world.wrong() == {}
    other = next(session for session, _ in expected.session_of.values() if session not in ever)
    row["session_id"] = other
    world.found.tombstones = frozenset({other})
    assert world.wrong() == {"events": 1}  # a tombstone of somebody else's


def test_what_got_no_answer_may_be_there_or_not_but_not_twice() -> None:
    world = a_sound_world()
    names = list(world.sent.unsure)
    assert len(names) == EVENTS_WITH_NO_ANSWER
    assert {row["client_message_id"] for row in world.rows} & set(names) == {names[0]}
    world.rows.append(dict(world.rows[-1]))
    assert world.wrong() == {"doubled": 1}


def test_the_lists_name_what_is_wrong() -> None:
    world = a_sound_world()
    lose_an_event(world)
    lost = next(iter(world.sent.accepted.keys() - {row["client_message_id"] for row in world.rows}))
    world.rows[3]["context"] = "{}"
    verdict = judge(world.sent, replace(world.found, events=world.rows))
    assert verdict.lost == [lost]
    assert "context is '{}' instead of" in verdict.explained()


def test_the_rows_of_an_event_by_hand() -> None:
    """One event as its body says it, and its row, written down."""
    sent = Sent(str(uuid.UUID(int=1)), "11111111-2222-5333-8444-555555555555", SessionRules(1_800_000, 86_400_000, 48))
    batches = Batches(5, START_MS, 900.0)
    batch = batches.batch(50)
    bodies = json.loads(batch.body)["batch"]
    for body, event in zip([b for b in bodies if b["messageId"] not in {r.message_id for r in batch.refused}],
                           batch.events, strict=True):  # fmt: skip
        row = event_row(event, sent)
        assert row["client_message_id"] == body["messageId"]
        assert row["event_name"] == body.get("event", body.get("name", ""))
        assert json.loads(row["context"]) == body["context"]
        assert json.loads(row["properties"]) == body.get("properties", body.get("traits"))
        assert row["page_url"] == body["context"]["page"]["url"]
        assert row["user_agent"] == body["context"]["userAgent"]
        assert row["anonymous_id"] == (body.get("anonymousId") or "")
        assert row["user_id"] == body.get("userId")
    assert message_id("ajs-1", sent.project_id) == str(uuid.uuid5(uuid.UUID(sent.project_id), "ajs-1"))
