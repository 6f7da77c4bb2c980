"""Who is who, as the views answer it, is what a plain reading of the records says: in any order, merged or not.

Worlds of few ids, each a tenant of its own, are made by chance and asked all at once.
"""

import random
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import pytest
from clickhouse_driver import Client

from schemas.apply.tables import clickhouse
from schemas.settings import Settings

START: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
VISITORS: Final = ("v1", "v2", "")
USERS: Final = ("ann", "bea", "\x01cleo,", "dora")
WORLDS: Final = 60
INSERTS: Final = 5
ASKED_WORLDS: Final = 6  # tenant by tenant
SECONDS: Final = 12


class Row(NamedTuple):
    """A record of `identities`, or of `identity_changes` (by_hand). at, first: seconds."""

    by_hand: bool
    known_as: str
    user: str
    at: int
    source: str
    is_deleted: bool
    first: int


class Asked(NamedTuple):
    """An event, or a session that ended then."""

    visitor: str
    user: str | None
    at: int


def made(chance: random.Random) -> list[Row]:
    """A pair's records of one table have times of their own: the worker writes no two versions of one moment."""
    rows: dict[tuple[bool, str, str, int], Row] = {}
    for _ in range(chance.randint(0, 9)):
        by_hand, is_deleted = chance.random() < 0.5, chance.random() < 0.35
        user = chance.choice(USERS)
        is_alias = chance.random() < 0.4
        known_as = chance.choice(USERS if is_alias else ("v1", "v2"))
        at = chance.randint(0, SECONDS)
        source = "" if is_deleted else "alias" if is_alias else "manual" if by_hand else "identify"
        rows[by_hand, known_as, user, at] = Row(by_hand, known_as, user, at, source, is_deleted, chance.randint(0, at))
    return list(rows.values())


def links_of(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[int, bool]]:
    """The pairs that are linked: from when, and whether as an alias. Of what events claimed, the newest row counts."""
    pairs: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        pairs[row.known_as, row.user].append(row)
    found = {}
    for pair, own in pairs.items():
        claims = [row for row in own if not row.by_hand]
        counted = [row for row in own if row.by_hand] + ([max(claims, key=lambda row: row.at)] if claims else [])
        back = max((row.at for row in counted if row.is_deleted), default=-1)
        made_of = [row for row in counted if not row.is_deleted]
        if max((row.at for row in made_of), default=-1) > back:
            is_alias = any(row.source == "alias" and row.at > back for row in made_of)
            found[pair] = max(back, min(row.first for row in made_of)), is_alias
    return found


def persons_of(links: Mapping[tuple[str, str], tuple[int, bool]]) -> dict[str, str]:
    """Who each user that was aliased is: the end of its chain, or the first by name of the ring there."""
    targets: dict[str, tuple[int, str]] = {}
    for (known_as, user), (since, is_alias) in links.items():
        if is_alias and known_as != user:
            targets[known_as] = min(targets.get(known_as, (since, user)), (since, user))
    persons = {}
    for user in targets:
        path = [user]
        while path[-1] in targets and path.count(path[-1]) == 1:
            path.append(targets[path[-1]][1])
        ring = path[path.index(path[-1]) : -1]
        persons[user] = min(ring) if ring else path[-1]
    return persons


def person_of(rows: Sequence[Row], asked: Asked) -> str | None:
    links = links_of(rows)
    persons = persons_of(links)
    if asked.user is not None:
        return persons.get(asked.user, asked.user)
    owners = sorted(
        (since, persons.get(user, user)) for (known, user), (since, _) in links.items() if known == asked.visitor
    )
    if not owners:
        return None
    return [owner for since, owner in owners if since <= asked.at or (since, owner) == owners[0]][-1]


ASKED: Final = [
    Asked(visitor, user, at) for visitor in VISITORS for user in (None, *USERS) for at in range(0, SECONDS + 2, 3)
]


def moment(at: int) -> datetime:
    return START + timedelta(seconds=at)


@pytest.fixture(scope="module")
def client(module_tables: Settings) -> Iterator[Client]:
    with clickhouse(module_tables) as connected:
        yield connected


@pytest.fixture(scope="module")
def worlds(client: Client) -> dict[str, list[Row]]:
    """By tenant, the records, written in an order of chance into parts that no merge has seen; and what is asked of."""
    chance = random.Random(7)
    found = {f"t{number:03}": made(chance) for number in range(WORLDS)}
    for table in ("identities", "identity_changes"):
        client.execute(f"SYSTEM STOP MERGES {table}")
    rows = [(tenant, row) for tenant, own in found.items() for row in own]
    chance.shuffle(rows)
    for start in range(INSERTS):
        _insert(client, rows[start::INSERTS])
    _ask_about(client, found)
    return found


def _insert(client: Client, rows: Sequence[tuple[str, Row]]) -> None:
    both: tuple[list[tuple[object, ...]], list[tuple[object, ...]]] = ([], [])
    for tenant, row in rows:
        both[row.by_hand].append(
            (tenant, row.known_as, row.user, moment(row.at), row.source, int(row.is_deleted), moment(row.first))
        )
    for table, at, own in (("identities", "linked_at", both[0]), ("identity_changes", "changed_at", both[1])):
        columns = f"tenant_id, anonymous_id, user_id, {at}, link_source, is_deleted, first_linked_at"
        client.execute(f"INSERT INTO {table} ({columns}) VALUES", own)


def _ask_about(client: Client, tenants: Mapping[str, object]) -> None:
    numbered = [(tenant, number, one) for tenant in tenants for number, one in enumerate(ASKED)]
    client.execute(
        "INSERT INTO events (event_id, message_id, tenant_id, event_type, timestamp, received_at, anonymous_id, "
        "user_id, source_offset) VALUES",
        [
            (uuid.uuid4(), uuid.uuid4(), tenant, "track", moment(one.at), START, one.visitor, one.user, number)
            for tenant, number, one in numbered
        ],
    )
    client.execute(
        "INSERT INTO sessions (session_id, tenant_id, anonymous_id, user_id, started_at, ended_at, event_count, "
        "version) VALUES",
        [
            (uuid.uuid4(), tenant, one.visitor, one.user, START, moment(one.at), number, 1)
            for tenant, number, one in numbered
        ],
    )


@pytest.fixture(params=["unmerged", "merged"])
def merged(client: Client, worlds: dict[str, list[Row]], request: pytest.FixtureRequest) -> None:
    """The unmerged come first: pytest keeps the order of parameters."""
    if request.param == "merged":
        for table in ("identities", "identity_changes"):
            client.execute(f"SYSTEM START MERGES {table}")
            client.execute(f"OPTIMIZE TABLE {table} FINAL")


def told(client: Client, view: str, number: str) -> dict[tuple[str, int], str | None]:
    rows = client.execute(f"SELECT tenant_id, {number}, resolved_user_id FROM {view}")
    return {(tenant, place): person for tenant, place, person in rows}


@pytest.mark.usefixtures("merged")
def test_events_sessions_and_persons_are_those_of_the_records(client: Client, worlds: dict[str, list[Row]]) -> None:
    right = {(tenant, n): person_of(rows, one) for tenant, rows in worlds.items() for n, one in enumerate(ASKED)}
    assert len(set(right.values())) == len(USERS) + 1  # and nobody
    assert told(client, "events_resolved", "toInt64(source_offset)") == right
    assert told(client, "sessions_resolved", "toInt64(event_count)") == right


def who(rows: Sequence[Row], asked: Asked) -> tuple[str, str]:
    """As whom an event counts: its person, else its visitor."""
    person = person_of(rows, asked)
    return ("visitor", asked.visitor) if person is None else ("person", person)


@pytest.mark.usefixtures("merged")
def test_a_tenant_s_events_have_the_same_persons_and_one_key_for_each(
    client: Client, worlds: dict[str, list[Row]]
) -> None:
    for tenant in list(worlds)[:ASKED_WORLDS]:
        found = client.execute(
            "SELECT resolved_user_id, person_key FROM tenant_events(tenant = %(tenant)s) ORDER BY source_offset",
            {"tenant": tenant},
        )
        rows = worlds[tenant]
        assert [person for person, _ in found] == [person_of(rows, one) for one in ASKED]
        pairs = {(who(rows, one), key) for one, (_, key) in zip(ASKED, found, strict=True)}
        assert len(pairs) == len({one for one, _ in pairs}) == len({key for _, key in pairs})


@pytest.mark.usefixtures("merged")
@pytest.mark.parametrize("user", USERS, ids=ascii)
def test_a_person_s_events_are_those_that_the_view_of_all_events_has(
    client: Client, worlds: dict[str, list[Row]], user: str
) -> None:
    """Of two worlds for each user: such a question costs the server half a second."""
    at = 2 * USERS.index(user)
    for tenant in list(worlds)[at : at + 2]:
        rows = worlds[tenant]
        person = persons_of(links_of(rows)).get(user, user)
        asked = {"tenant": tenant, "user": user}
        found = client.execute(
            "SELECT toInt64(source_offset), resolved_user_id FROM person_events(tenant = %(tenant)s, user = %(user)s)",
            asked,
        )
        right = [(n, person) for n, one in enumerate(ASKED) if person_of(rows, one) == person]
        assert sorted(found) == right
