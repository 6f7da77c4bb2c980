"""stitch: claims equal their row-by-row oracle; identities are a function of the set of claims."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import hypothesis.strategies as st
import msgspec
import polars as pl
import pytest
from hypothesis import given

from schemas.codec import Codec
from schemas.outcomes import DeadReason
from streams.events.claims import CLAIM_COLUMNS, claims
from streams.identities.chain import ClaimChain
from streams.identities.handshakes import HANDSHAKE_IDS_MAX
from streams.identities.links import LINKS_BYTES_MAX, without_secrets
from streams.identities.state import IdentityStateCodec
from streams.runtime.operator import Outputs, Records
from streams.runtime.state_cache import StateCache
from tests.streams.oracle import claim_of, identities_of
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
    found = claims(to_frame(rows)).with_columns(pl.col("linked_at").cast(pl.Int64)).to_dicts()
    expected = [(index, claim_of(row)) for index, row in enumerate(rows)]
    assert found == [claim | {"index": index} for index, claim in expected if claim is not None]


class Stitcher:
    """The operator over a table of its own; claims that pair a handshake come back to it, as through the topic."""

    def __init__(self, links_max: int = 100) -> None:
        states = StateCache(FakeTable("identities"), IdentityStateCodec())
        self.chain = ClaimChain("claims", states, IDS, SECRETS, links_max, 1, lambda: 5)
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
    lambda rows: [claim for row in rows if (claim := claim_of(row)) is not None]
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
    claim = claim_of(
        {
            "source_offset": 1, "source_partition": 0, "tenant_id": TENANT, "project_id": PROJECTS[0],
            "event_type": "track", "event_name": "Viewed", "anonymous_id": visitor, "user_id": user or None,
            "previous_id": None, "handshake_token": token, "timestamp": at, "properties": "{}", **fields,
        }
    )  # fmt: skip
    assert claim is not None
    return claim


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


def test_more_ids_than_a_token_is_meant_for_are_dead_letters() -> None:
    stitcher = Stitcher()
    stitcher.feed(half(visitor=f"visitor {number}") for number in range(HANDSHAKE_IDS_MAX + 2))
    assert [row["reason"] for row in stitcher.dead] == [DeadReason.TOO_MANY_LINKS] * 2
    stitcher.feed([half(user="u1"), half(visitor="visitor 1")])
    assert len(stitcher.identities) == HANDSHAKE_IDS_MAX


def identify(user: str, traits: str = "{}") -> Row:
    return half("", visitor="ann", user=user, event_type="identify", properties=traits)


def test_more_users_than_allowed_are_dead_letters_and_known_ones_go_on() -> None:
    stitcher = Stitcher(links_max=2)
    stitcher.feed(identify(user) for user in ("u1", "u2", "u3", "u1"))
    assert {user for _, _, user in stitcher.identities} == {"u1", "u2"}
    (dead,) = stitcher.dead
    assert (dead["reason"], dead["tenant_id"], dead["project_id"], dead["source_offset"]) == (
        DeadReason.TOO_MANY_LINKS, TENANT, PROJECTS[0], 2,
    )  # fmt: skip


def test_a_visitors_state_fits_into_a_changelog_record_whatever_it_claims() -> None:
    stitcher = Stitcher(links_max=1_000)
    traits = msgspec.json.encode({"name": "é" * 15_000}).decode()
    stitcher.feed(identify(f"user {number}", traits) for number in range(60))
    changes = stitcher.chain.end_epoch().changes.by_partition
    assert all(len(value or b"") < LINKS_BYTES_MAX + 2**16 for _, value in changes[0])
    assert len(stitcher.identities) + len(stitcher.dead) == 60
    assert stitcher.dead


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
