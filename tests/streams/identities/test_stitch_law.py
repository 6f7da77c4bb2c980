"""stitch: claims equal their row-by-row oracle; identities are a function of the set of claims."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import hypothesis.strategies as st
import msgspec
import polars as pl
import pytest
from hypothesis import given

from schemas.codec import Codec
from schemas.outcomes import Remark
from schemas.settings import Settings
from schemas.whatsapp_settings import TOKEN_TTL_S_MAX
from streams.conversations.settle import KEPT_MS
from streams.events.claims import CLAIM_COLUMNS, claims
from streams.identities.chain import ClaimChain
from streams.identities.handshakes import HANDSHAKE_IDS_MAX
from streams.identities.links import TRAITS_BYTES_MAX, without_secrets
from streams.identities.state import IdentityStateCodec
from streams.runtime.envelope import last_active_ms
from streams.runtime.eviction import Evictor
from streams.runtime.operator import Outputs, Records
from streams.runtime.state_cache import StateCache
from streams.topology import silence_of_claims
from tests.streams.oracle import claims_of, identities_of
from tests.streams.raw import IDS
from tests.streams.runtime.tables import FakeTable
from tests.streams.universe import PROJECTS, TENANT, Row

SECRETS: Final = frozenset({"pin", "password"})
CLAIMS: Final = Codec("identity_claims", IDS)
IDENTITIES: Final = Codec("identities", IDS)
DEAD: Final = Codec("dead_letters", IDS)

_ids = st.sampled_from(("", "ann", "bob"))
_events = st.fixed_dictionaries(
    {
        "source_offset": st.integers(0, 99),
        "source_partition": st.integers(0, 3),
        "tenant_id": st.sampled_from((TENANT, "other tenant")),
        "project_id": st.just(PROJECTS[0]),
        "event_type": st.sampled_from(("track", "identify", "alias", "page")),
        "event_name": st.sampled_from(("", "Signed In", "LOGIN", "Viewed")),
        "anonymous_id": _ids,
        "user_id": st.sampled_from((None, "", "u1", "u2")),
        "previous_id": st.sampled_from((None, "", "cat")),
        "handshake_token": st.sampled_from((None, "", "t1", "t2")),
        "timestamp": st.integers(1_795_000_000_000, 1_795_000_000_006),
        "properties": st.sampled_from(("{}", '{"name":"A"}', '{"name":"B","PIN":1}', '{"p\\u0069n":"1"}')),
    }
)


def to_frame(rows: Sequence[Row]) -> pl.DataFrame:
    types: dict[str, Any] = {"timestamp": pl.Datetime("ms"), "source_offset": pl.Int64, "source_partition": pl.Int32}
    names = rows[0]
    return pl.DataFrame(
        {name: pl.Series([row[name] for row in rows], dtype=types.get(name, pl.String)) for name in names}
    ).with_row_index()


@given(st.lists(_events, min_size=1, max_size=20))
def test_columns_claim_what_one_event_at_a_time_claims(rows: list[Row]) -> None:
    found = claims(to_frame(rows), {}).with_columns(pl.col("linked_at").cast(pl.Int64)).to_dicts()
    made = [claim | {"index": index} for index, row in enumerate(rows) for claim in claims_of(row)]
    assert found == sorted(made, key=lambda claim: "/h/" in claim["key"])


class Stitcher:
    """The operator over a table of its own; claims that pair a handshake come back to it, as through the topic."""

    def __init__(self, links_max: int = 100, handshake_ms: int = 10**9) -> None:
        states = StateCache(FakeTable("identities"), IdentityStateCodec())
        self.chain = ClaimChain("claims", states, IDS, SECRETS, links_max, handshake_ms, 1, lambda: 5)
        self.identities: dict[tuple[str, str, str], Row] = {}
        self.dead: list[Row] = []
        self._end = 0

    def feed(self, found: Iterable[Row]) -> Outputs:
        """Process claims as one chunk, and what they tie as the next."""
        found = list(found)
        return self.feed_records(
            [claim["key"].encode() for claim in found],
            [
                CLAIMS.encode({name: claim[name] for name in CLAIM_COLUMNS} | {"source_generation": 1})
                for claim in found
            ],
        )

    def feed_records(self, keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> Outputs:
        offsets = [self._end + index for index in range(len(keys))]
        self._end += len(keys)
        outputs = self.chain.process(Records([0] * len(keys), offsets, keys, values))
        assert len(keys) == outputs.kept + outputs.replayed + sum(outputs.dead.values())
        for record in outputs.records.get("identities", ()):
            identity = IDENTITIES.decode(record["value"])
            for name in ("linked_at", "first_linked_at"):
                identity[name] = round(identity[name].timestamp() * 1_000)
            name_of_link = identity["tenant_id"], identity["anonymous_id"], identity["user_id"]
            assert record["key"].decode() == "/".join(name_of_link)
            before = self.identities.get(name_of_link)
            if before is None or identity["linked_at"] >= before["linked_at"]:
                self.identities[name_of_link] = identity
        self.dead += [DEAD.decode(record["value"]) for record in outputs.records.get("dead_letters", ())]
        tied = outputs.records.get("identity_claims", [])
        if tied:
            self.feed_records([record["key"] for record in tied], [record["value"] for record in tied])
        return outputs

    def end_epoch(self) -> None:
        self.chain.end_epoch()
        self.chain.confirm({})


claim_lists = st.lists(_events, min_size=1, max_size=12).map(
    lambda rows: [claim for row in rows for claim in claims_of(row)]
)


@given(claim_lists, st.data())
def test_identities_are_those_of_the_set_of_claims_in_any_order_with_any_repeats(
    found: list[Row], data: st.DataObject
) -> None:
    repeats = data.draw(st.lists(st.sampled_from(found), max_size=4), "repeats") if found else []
    ordered = data.draw(st.permutations([*found, *repeats]), "order")
    stitcher = Stitcher()
    while ordered:
        size = data.draw(st.integers(1, len(ordered)), "chunk")
        stitcher.feed(ordered[:size])
        ordered = ordered[size:]
        if data.draw(st.booleans(), "epoch ends"):
            stitcher.end_epoch()
    assert stitcher.identities == identities_of(found, SECRETS)
    assert stitcher.dead == []


def half(token: str = "t1", visitor: str = "", user: str = "", at: int = 1_795_000_000_000, **fields: Any) -> Row:
    """One side of a handshake, as an event says it."""
    return all_of(token, visitor, user, at, **fields)[-1]


def all_of(
    token: str = "t1", visitor: str = "", user: str = "", at: int = 1_795_000_000_000, **fields: Any
) -> list[Row]:
    """What an event claims."""
    return claims_of(
        {
            "source_offset": 1, "source_partition": 0, "tenant_id": TENANT, "project_id": PROJECTS[0],
            "event_type": "track", "event_name": "Viewed", "anonymous_id": visitor, "user_id": user or None,
            "previous_id": None, "handshake_token": token, "timestamp": at, "properties": "{}", **fields,
        }
    )  # fmt: skip


@pytest.mark.parametrize("visitor_first", [True, False])
def test_a_handshake_ties_its_sides_in_either_order(visitor_first: bool) -> None:
    sides = [half(visitor="ann", at=1_795_000_000_010), half(user="u1", at=1_795_000_000_020)]
    stitcher = Stitcher()
    for claim in sides if visitor_first else reversed(sides):
        stitcher.feed([claim])
    (identity,) = stitcher.identities.values()
    assert (identity["anonymous_id"], identity["user_id"], identity["link_source"]) == ("ann", "u1", "handshake")
    assert (identity["first_linked_at"], identity["linked_at"]) == (1_795_000_000_020, 1_795_000_000_020)


def test_a_side_without_the_other_ties_nothing() -> None:
    stitcher = Stitcher()
    stitcher.feed([half(visitor="ann"), half(visitor="ann"), half(token="t2", user="u1")])
    assert stitcher.identities == {}


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_the_worlds_time_zones_do_not_move_a_link(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        stitcher = Stitcher()
        moments = range(1_795_000_000_000, 1_795_000_000_100)
        for at in moments:
            stitcher.feed([half(visitor="ann", at=at), half(user="u1", at=at)])
            (identity,) = stitcher.identities.values()
            assert (identity["first_linked_at"], identity["linked_at"]) == (moments[0], at)
    finally:
        monkeypatch.undo()
        time.tzset()


def links(stitcher: Stitcher) -> set[tuple[str, str]]:
    return {(visitor, user) for _, visitor, user in stitcher.identities}


@pytest.mark.parametrize("web_first", [True, False])
def test_a_handshake_event_with_ids_of_its_own_still_ties_who_showed_the_token(web_first: bool) -> None:
    """The one who sends a message has an anonymousId on that side, too."""
    sides = [[half(visitor="web")], all_of(visitor="phone", user="u1", at=1_795_000_000_500)]
    stitcher = Stitcher()
    for side in sides if web_first else reversed(sides):
        stitcher.feed(side)
    assert links(stitcher) == {("web", "u1"), ("phone", "u1")}


def test_a_visitor_who_is_logged_in_already_is_tied_by_a_handshake() -> None:
    stitcher = Stitcher()
    stitcher.feed(all_of(visitor="web", user="u0"))
    stitcher.feed([half(user="u1")])
    assert links(stitcher) == {("web", "u0"), ("web", "u1")}


DAY_MS: Final = 86_400_000


@pytest.mark.parametrize("visitor_first", [True, False])
@pytest.mark.parametrize(("days", "tied"), [(7, True), (8, False), (300, False)])
def test_ids_seen_with_a_token_further_apart_than_its_lifetime_are_strangers(
    visitor_first: bool, days: int, tied: bool
) -> None:
    early, late = 1_795_000_000_000, 1_795_000_000_000 + days * DAY_MS
    for sides in ([half(visitor="ann", at=early), half(user="u1", at=late)],
                  [half(visitor="ann", at=late), half(user="u1", at=early)]):  # fmt: skip
        stitcher = Stitcher(handshake_ms=7 * DAY_MS)
        for claim in sides if visitor_first else reversed(sides):
            stitcher.feed([claim])
        assert links(stitcher) == ({("ann", "u1")} if tied else set())


def test_a_token_that_is_used_again_ties_no_strangers() -> None:
    stitcher = Stitcher(handshake_ms=7 * DAY_MS)
    for number in range(30):
        at = 1_795_000_000_000 + number * 30 * DAY_MS
        stitcher.feed([half(visitor=f"v{number}", at=at), half(user=f"u{number}", at=at + 60_000)])
    # As many uses as it may have ids three times over: those whose time has passed make room.
    assert links(stitcher) == {(f"v{number}", f"u{number}") for number in range(30)}
    # The same two again, months later.
    stitcher.feed([half(visitor="v0", at=at + 60 * DAY_MS), half(user="u3", at=at + 61 * DAY_MS)])
    assert ("v0", "u3") in links(stitcher)
    assert len(stitcher.identities) == 31


def test_ids_beyond_what_a_token_is_meant_for_are_tied_to_nobody_and_are_no_dead_letters() -> None:
    stitcher = Stitcher()
    outputs = stitcher.feed(half(visitor=f"visitor {number}") for number in range(HANDSHAKE_IDS_MAX + 2))
    assert (outputs.kept, outputs.remarks) == (HANDSHAKE_IDS_MAX + 2, {Remark.ID_SHARED: 2})
    stitcher.feed([half(user="u1"), half(visitor="visitor 1")])
    assert links(stitcher) == {(f"visitor {number}", "u1") for number in range(HANDSHAKE_IDS_MAX)}
    assert stitcher.dead == []


def identify(user: str, traits: str = "{}") -> Row:
    return half("", visitor="ann", user=user, event_type="identify", properties=traits)


def test_a_device_that_many_share_is_linked_to_its_first_users_and_these_go_on() -> None:
    stitcher = Stitcher(links_max=2)
    outputs = stitcher.feed(identify(user) for user in ("u1", "u2", "u3", "u1", "u4"))
    assert links(stitcher) == {("ann", "u1"), ("ann", "u2")}
    assert (outputs.kept, outputs.remarks, stitcher.dead) == (5, {Remark.ID_SHARED: 2}, [])


def test_a_repeat_of_a_known_link_is_never_refused_and_traits_without_room_are_told() -> None:
    stitcher = Stitcher()
    traits = msgspec.json.encode({"name": "é" * 15_000}).decode()
    users = [f"user {number}" for number in range(20)]
    first = stitcher.feed(identify(user, traits) for user in users)
    room = TRAITS_BYTES_MAX // len(traits.encode())
    assert (first.kept, first.remarks) == (20, {Remark.TRAITS_CUT: 20 - room})
    again = stitcher.feed(identify(user) for user in users)
    assert (again.kept, again.remarks) == (20, {})
    assert {user for _, user in links(stitcher)} == set(users)
    assert [len(row["traits"]) > 2 for row in stitcher.identities.values()] == [True] * room + [False] * (20 - room)
    assert stitcher.dead == []


def test_what_a_visitor_costs_is_bounded_whatever_it_claims() -> None:
    stitcher = Stitcher(links_max=50)
    traits = msgspec.json.encode({"name": "é" * 15_000}).decode()
    for number in range(1_000):
        stitcher.feed([identify(f"user {number}", traits if number % 2 else "{}")])
    changes = stitcher.chain.end_epoch().changes.by_partition
    assert all(len(value or b"") < TRAITS_BYTES_MAX + 50 * 100 for _, value in changes[0])
    assert (len(stitcher.identities), stitcher.dead) == (50, [])


def test_a_clock_ahead_does_not_make_a_state_the_newest() -> None:
    stitcher = Stitcher()
    claim = identify("u1")
    value = CLAIMS.encode({name: claim[name] for name in CLAIM_COLUMNS} | {"source_generation": 1})
    records = Records([0], [0], [claim["key"].encode()], [value], appended_ms=[claim["linked_at"] - DAY_MS])
    stitcher.chain.process(records)
    ((_, changed),) = stitcher.chain.end_epoch().changes.by_partition[0]
    assert last_active_ms(changed or b"") == claim["linked_at"] - DAY_MS


def test_a_tokens_state_leaves_when_it_can_tie_nobody_any_more_and_a_visitors_stays() -> None:
    settings = Settings.model_validate({})
    silence_ms = silence_of_claims(settings)
    token, visitor = b"t/h/token", b"t/a/h/x"
    pairs_ms = (settings.streams_handshake_s_max + settings.streams_lateness_s_max) * 1000
    assert silence_ms(token) == max(pairs_ms, TOKEN_TTL_S_MAX * 1000 + KEPT_MS)
    assert silence_ms(visitor) == settings.streams_identity_s_max * 1000
    table, codec = FakeTable("identities"), IdentityStateCodec()
    for key, at in ((token, 0), (visitor, 0), (b"t/a/new", silence_ms(token) + 1)):
        state = codec.new()
        state.active_ms = at
        table.store.write(0, [(key, codec.encode(state))])
    evictor = Evictor(silence_ms)
    evictor.expired(table.store, {})
    assert evictor.expired(table.store, {}) == {0: {token: -1}}


def test_claims_that_cannot_be_are_dead_letters_of_the_tenant_alone() -> None:
    stitcher = Stitcher()
    key, good = b"tenant/a/ann", identify("u1")
    value = CLAIMS.encode({name: good[name] for name in CLAIM_COLUMNS} | {"source_generation": 1})
    nobody = CLAIMS.encode({name: good[name] for name in CLAIM_COLUMNS} | {"source_generation": 1, "user_id": ""})
    stitcher.feed_records([key, key, None, key, key], [value, b"junk", value, nobody, None])
    assert len(stitcher.identities) == 1
    assert sorted((row["reason"], row["tenant_id"], row["project_id"]) for row in stitcher.dead) == [
        ("field_invalid", "", PROJECTS[0]),
        ("field_invalid", "tenant", PROJECTS[0]),
        ("not_avro", "tenant", ""),
        ("not_avro", "tenant", ""),
    ]


def test_claims_read_again_are_skipped() -> None:
    stitcher = Stitcher()
    found = [identify("u1"), identify("u2")]
    stitcher.feed(found)
    stitcher._end = 0
    outputs = stitcher.feed(found)
    assert (outputs.replayed, outputs.records) == (2, {})


@given(claim_lists)
def test_a_claim_state_comes_back_from_its_bytes(found: list[Row]) -> None:
    stitcher, codec = Stitcher(), IdentityStateCodec()
    stitcher.feed(found)
    for pairs in stitcher.chain.end_epoch().changes.by_partition.values():
        for _, value in pairs:
            assert value is not None
            assert codec.encode(codec.decode(value)) == value


@pytest.mark.parametrize(
    ("traits", "kept"),
    [
        ("{}", "{}"),
        ('{ "a" : 1 }', '{ "a" : 1 }'),
        ('{"a":1,"Password":"x"}', '{"a":1}'),
        ('{"pin":{"deep":[1]},"b":"pin"}', '{"b":"pin"}'),
        ('{"p\\u0069n":1,"c":"\\n"}', '{"c":"\\n"}'),
        ('{"shipping":1}', '{"shipping":1}'),
        ('["pin"]', "{}"),
        ("[1]", "{}"),
        ('{"pin":', "{}"),
    ],
)
def test_secrets_leave_the_traits(traits: str, kept: str) -> None:
    assert without_secrets(traits, SECRETS) == kept
