"""Which person an event belongs to, as the views answer it: a user that was aliased is who it was aliased to."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Final

import pytest
from clickhouse_driver import Client

from schemas.apply.tables import clickhouse
from schemas.settings import Settings

NOW: Final = datetime.now(UTC).replace(microsecond=0)
CHAIN_MAX: Final = 16
CHAIN: Final = (("alias", "ann", "bea"), ("alias", "bea", "cleo"), ("identify", "visitor", "ann"))


class Tables:
    """One tenant's events and identities."""

    def __init__(self, client: Client, *, merged: bool = False) -> None:
        self._client = client
        self._merged = merged
        self.tenant = str(uuid.uuid4())
        self._at = NOW - timedelta(hours=1)

    def link(self, source: str, known_as: str, user: str, *, deleted: bool = False, s: int = 0) -> None:
        """A row of identities, an INSERT of its own. s: of how many seconds later."""
        at = self._at + timedelta(seconds=s)
        row = (self.tenant, known_as, user, at, source, "{}", int(deleted), at)
        self._client.execute(
            "INSERT INTO identities (tenant_id, anonymous_id, user_id, linked_at, link_source, traits, is_deleted, "
            "first_linked_at) VALUES",
            [row],
        )

    def take_back(self, known_as: str, user: str) -> None:
        """As the README of streams says it."""
        self._client.execute(
            "INSERT INTO identities (tenant_id, anonymous_id, user_id, linked_at, is_deleted) "
            "VALUES (%(tenant)s, %(known_as)s, %(user)s, now64(3), 1)",
            {"tenant": self.tenant, "known_as": known_as, "user": user},
        )

    def _merge(self) -> None:
        """ClickHouse merges when it likes: each test is asked with every row still there, and with the newest alone."""
        if self._merged:
            self._client.execute("SYSTEM START MERGES identities")
            self._client.execute("OPTIMIZE TABLE identities FINAL")
            self._client.execute("SYSTEM STOP MERGES identities")

    def resolved(self, *people: tuple[str, str | None]) -> list[str | None]:
        """Whose events of these visitors and users are."""
        self._merge()
        rows = [
            (uuid.uuid4(), uuid.uuid4(), self.tenant, "track", NOW, NOW, visitor, user, number)
            for number, (visitor, user) in enumerate(people)
        ]
        self._client.execute(
            "INSERT INTO events (event_id, message_id, tenant_id, event_type, timestamp, received_at, anonymous_id, "
            "user_id, source_offset) VALUES",
            rows,
        )
        asked = "SELECT resolved_user_id FROM events_resolved WHERE tenant_id = %(tenant)s ORDER BY source_offset"
        return [person for (person,) in self._client.execute(asked, {"tenant": self.tenant})]


@pytest.fixture(scope="module")
def client(module_tables: Settings) -> Iterator[Client]:
    with clickhouse(module_tables) as connected:
        connected.execute("SYSTEM STOP MERGES identities")
        yield connected


@pytest.fixture(params=[False, True], ids=["unmerged", "merged"])
def tables(client: Client, request: pytest.FixtureRequest) -> Tables:
    return Tables(client, merged=request.param)


def test_without_aliases_an_event_is_its_user_s_or_its_visitor_s(tables: Tables) -> None:
    tables.link("identify", "visitor", "ann")
    assert tables.resolved(("visitor", None), ("visitor", "bea"), ("stranger", None)) == ["ann", "bea", None]


@pytest.mark.parametrize("order", list(permutations(CHAIN)), ids=lambda order: "-".join(link[1] for link in order))
def test_a_chain_of_aliases_is_one_person_in_any_order(tables: Tables, order: Sequence[tuple[str, str, str]]) -> None:
    for second, (source, known_as, user) in enumerate(order):
        tables.link(source, known_as, user, s=second)
    told = tables.resolved(("", "ann"), ("x", "bea"), ("", "cleo"), ("visitor", None), ("visitor", "ann"))
    assert told == ["cleo"] * 5


def test_an_alias_of_another_tenant_is_nobody_here(tables: Tables, client: Client) -> None:
    Tables(client).link("alias", "ann", "bea")
    tables.link("alias", "cleo", "dora")
    assert tables.resolved(("", "ann")) == ["ann"]


def test_links_that_are_no_aliases_join_no_users(tables: Tables) -> None:
    tables.link("identify", "ann", "bea")
    tables.link("alias", "cleo", "dora")
    assert tables.resolved(("", "ann"), ("ann", None)) == ["ann", "bea"]


def test_a_ring_of_aliases_is_one_person(tables: Tables) -> None:
    for known_as, user in (("cleo", "ann"), ("ann", "bea"), ("bea", "cleo"), ("visitor", "bea"), ("self", "self")):
        tables.link("alias", known_as, user)
    people = (("", "ann"), ("", "bea"), ("", "cleo"), ("", "visitor"), ("visitor", None), ("", "self"))
    assert tables.resolved(*people) == ["ann"] * 5 + ["self"]


def test_an_id_aliased_to_several_goes_to_the_first(tables: Tables) -> None:
    tables.link("alias", "ann", "late", s=9)
    tables.link("alias", "ann", "early", s=1)
    assert tables.resolved(("", "ann"), ("", "late")) == ["early", "late"]


def test_an_alias_that_was_taken_back_is_none(tables: Tables) -> None:
    tables.link("alias", "ann", "bea")
    tables.link("alias", "ann", "bea", deleted=True, s=1)
    assert tables.resolved(("", "ann")) == ["ann"]


@pytest.mark.parametrize("source", ["", "manual", "alias"])
def test_whoever_takes_an_alias_back_need_not_say_that_it_was_one(tables: Tables, source: str) -> None:
    tables.link("alias", "ann", "bea", s=1)
    tables.link(source, "ann", "bea", deleted=True, s=2)
    assert tables.resolved(("", "ann"), ("ann", None)) == ["ann", None]


def test_a_link_is_taken_back_by_its_ids_alone_until_it_is_claimed_again(tables: Tables) -> None:
    tables.link("alias", "ann", "bea")
    tables.link("alias", "ann", "cleo", s=1)
    tables.take_back("ann", "bea")
    assert tables.resolved(("", "ann"), ("ann", None)) == ["cleo", "cleo"]
    tables.link("alias", "ann", "bea", s=7200)
    assert tables.resolved() == ["cleo", "cleo"]  # since it was claimed first now
    tables.take_back("ann", "cleo")
    assert tables.resolved() == ["bea", "bea"]


def test_an_alias_that_is_claimed_after_it_was_taken_back_counts_from_its_claims(tables: Tables) -> None:
    tables.link("alias", "ann", "early", s=2)
    tables.link("", "ann", "late", deleted=True, s=1)
    tables.link("alias", "ann", "late", s=3)
    assert tables.resolved(("", "ann")) == ["early"]


def test_what_was_taken_back_and_then_claimed_as_no_alias_joins_no_users(tables: Tables) -> None:
    tables.link("", "ann", "bea", deleted=True, s=1)
    tables.link("identify", "ann", "bea", s=2)
    assert tables.resolved(("", "ann"), ("ann", None)) == ["ann", "bea"]


def test_a_ring_is_one_person_as_far_as_chains_are_followed(tables: Tables) -> None:
    ring = [f"u{number:02}" for number in range(CHAIN_MAX)]
    for known_as, user in zip(ring, (*ring[1:], ring[0]), strict=True):
        tables.link("alias", known_as, user)
    assert tables.resolved(*(("", known_as) for known_as in ring)) == [ring[0]] * CHAIN_MAX


def test_a_way_that_is_too_long_to_see_the_ring_ends_where_a_chain_would(tables: Tables) -> None:
    ring = [f"r{number:02}" for number in range(CHAIN_MAX + 1)]
    for known_as, user in zip(ring, (*ring[1:], ring[0]), strict=True):
        tables.link("alias", known_as, user)
    one_before = [ring[-1], *ring[:-1]]
    assert tables.resolved(*(("", known_as) for known_as in ring)) == one_before


def test_the_way_into_a_ring_counts_too(tables: Tables) -> None:
    ring = [f"u{number:02}" for number in range(CHAIN_MAX - 1)]
    for known_as, user in zip(ring, (*ring[1:], ring[0]), strict=True):
        tables.link("alias", known_as, user)
    for known_as, user in (("near", "u05"), ("far", "near")):
        tables.link("alias", known_as, user)
    too_far = "u04"  # the last of the ring that is looked at, once around
    assert tables.resolved(("", "near"), ("", "far")) == ["u00", too_far]


def test_chains_are_followed_as_far_as_is_said(tables: Tables) -> None:
    for number in range(CHAIN_MAX + 2):
        tables.link("alias", f"u{number}", f"u{number + 1}")
    longest, too_long = ("", "u2"), ("", "u1")
    assert tables.resolved(longest, too_long) == [f"u{CHAIN_MAX + 2}", f"u{CHAIN_MAX + 1}"]


OTHERS: Final = 100_000


def rows_read(client: Client, query: str) -> int:
    """What the server read for it, by its own account."""
    client.execute(query)
    return int(client.last_query.progress.rows)


def test_a_tenant_s_questions_read_nothing_of_the_links_of_others(client: Client) -> None:
    """The control is the view of all tenants: it reads them."""
    asked = Tables(client)
    asked.link("alias", "ann", "bea")
    asked.link("identify", "visitor", "ann", s=1)
    assert asked.resolved(("visitor", None)) == ["bea"]
    client.execute(
        "INSERT INTO identities (tenant_id, anonymous_id, user_id, linked_at, link_source, first_linked_at) "
        "SELECT %(tenant)s, toString(number), concat('user', toString(number)), now64(3), "
        "if(number %% 10 = 0, 'alias', 'identify'), now64(3) FROM numbers(%(rows)s)",
        {"tenant": str(uuid.uuid4()), "rows": OTHERS},
    )
    tenant = f"tenant = '{asked.tenant}'"
    few = 10 * 8192  # granules of a few small parts, again for each look
    assert rows_read(client, f"SELECT uniq(person_key), any(resolved_user_id) FROM tenant_events({tenant})") < few
    assert rows_read(client, f"SELECT * FROM person_events({tenant}, user = 'ann')") < few
    all_tenants = f"SELECT any(resolved_user_id) FROM events_resolved WHERE tenant_id = '{asked.tenant}'"
    assert rows_read(client, all_tenants) >= OTHERS
