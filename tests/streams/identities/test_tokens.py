"""Tokens that the collector minted: who is tied to whom, in whatever order it becomes known, and what is taken back."""

import itertools
import random
from collections.abc import Iterable
from typing import Any, Final

import pytest

from schemas import keys
from schemas.codec import Codec
from schemas.link_sources import CHAT, WEB
from schemas.outcomes import HandshakeOutcome
from streams.identities.chain import ClaimChain
from streams.identities.state import IdentityStateCodec
from streams.runtime.eviction import Evictor
from streams.runtime.operator import Records
from streams.runtime.state_cache import StateCache
from tests.effort import seeds
from tests.streams.conversations.desk import MINUTE, NUMBER, SIGNALS, T0, minute
from tests.streams.raw import IDS
from tests.streams.readers import in_ms
from tests.streams.runtime.tables import FakeTable

TOKEN: Final = "F1RBD-DB1B9"
DAY: Final = 1440
CLAIMS: Final = Codec("identity_claims", IDS)
IDENTITIES: Final = Codec("identities", IDS)
Row = dict[str, Any]


def claim(side: str, minutes: float, **more: Any) -> Row:
    made = {
        "source_offset": 1, "source_partition": 0, "source_generation": 1, "tenant_id": "t", "project_id": "p",
        "anonymous_id": "", "user_id": "", "handshake_token": TOKEN, "link_source": "handshake",
        "linked_at": T0 + round(minutes * MINUTE), "traits": "{}", "handshake_side": side,
    }  # fmt: skip
    return made | more


def mint(minutes: float, visitor: str = "ann", **more: Any) -> Row:
    """At a time; the token counts for 24 hours."""
    expires_at = T0 + round((minutes + DAY) * MINUTE)
    return claim(
        WEB, minutes, **{"anonymous_id": visitor, "session_id": f"s-{visitor}", "expires_at": expires_at} | more
    )


def message(minutes: float, customer: str = "US.1", fact_id: str = "") -> Row:
    told = {"customer": customer, "user_id": f"whatsapp:{customer}", "phone_number_id": NUMBER}
    return claim(CHAT, minutes, fact_id=fact_id or f"w{minutes:g}", **told)


class Witness:
    """The operator, whose claims come back to it; what identities and conversations are told in the end."""

    def __init__(self, evicted_after_ms: int = 10**15) -> None:
        self.table = FakeTable("identities")
        states = StateCache(self.table, IdentityStateCodec(), Evictor(evicted_after_ms))
        self.chain = ClaimChain("claims", states, IDS, frozenset(), 100, 10**9, 1, lambda: 5)
        self.outcomes: dict[HandshakeOutcome, int] = {}
        self.identities: dict[tuple[str, str], Row] = {}
        self.signals: dict[str, Row] = {}
        self._end = 0

    def take(self, claims: Iterable[Row]) -> "Witness":
        """One after the other, each in an epoch of its own."""
        for one in claims:
            side = one["handshake_side"]
            key = f"t{keys.OF_HANDSHAKE}{TOKEN}" if side in (WEB, CHAT) else f"t{keys.OF_VISITOR}{one['anonymous_id']}"
            self._process([(key.encode(), CLAIMS.encode(one))])
            self.end_epoch()
        return self

    def _process(self, pairs: list[tuple[bytes, bytes]]) -> None:
        offsets = range(self._end, self._end + len(pairs))
        self._end += len(pairs)
        outputs = self.chain.process(
            Records([0] * len(pairs), offsets, [key for key, _ in pairs], [value for _, value in pairs])
        )
        assert not outputs.dead
        self._count(outputs.handshakes)
        for record in outputs.records.get("identities", ()):
            row = IDENTITIES.decode(record["value"])
            name = row["anonymous_id"], row["user_id"]
            if name not in self.identities or row["linked_at"] >= self.identities[name]["linked_at"]:
                self.identities[name] = row
        for record in outputs.records.get("conversation_signals", ()):
            told = SIGNALS.decode(record["value"])
            assert record["key"] == keys.of_signal("t", "p", NUMBER)
            known = self.signals.get(told["fact_id"])
            if known is None or known["kind"] != "unlinked":  # a conversation never believes it again
                self.signals[told["fact_id"]] = told
        if again := [(record["key"], record["value"]) for record in outputs.records.get("identity_claims", ())]:
            self._process(again)

    def _count(self, outcomes: dict[HandshakeOutcome, int]) -> None:
        for outcome, count in outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count

    def end_epoch(self) -> None:
        self._count(self.chain.end_epoch().outputs.handshakes)
        self.chain.confirm({})

    def linked(self) -> set[tuple[str, str, float | None]]:
        """Visitor, user and time of what stands in identities."""
        return {
            (*name, minute(in_ms(row["linked_at"]))) for name, row in self.identities.items() if not row["is_deleted"]
        }

    def tied(self) -> set[tuple[str, str, str, str]]:
        """Customer, message, visitor and session, as conversations have it."""
        names = ("customer", "fact_id", "anonymous_id", "session_id")
        rows = [row for row in self.signals.values() if row["kind"] == "linked"]
        return {(row[names[0]], row[names[1]], row[names[2]], row[names[3]]) for row in rows}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_token_ties_the_visitor_to_the_customer_whichever_is_read_first(order: tuple[int, int]) -> None:
    told = [mint(-10, user_id="u1"), message(0)]
    found = Witness().take(told[place] for place in order)
    assert found.linked() == {("ann", "whatsapp:US.1", 0)}
    assert found.tied() == {("US.1", "w0", "ann", "s-ann")}
    assert found.outcomes == {HandshakeOutcome.LINKED: 1}
    (signal,) = found.signals.values()
    assert (signal["user_id"], signal["handshake_token"]) == ("u1", TOKEN)


def test_an_earlier_message_that_arrives_last_deposes_who_was_linked() -> None:
    found = Witness().take([mint(-10), message(2, "US.2"), message(1, "US.1")])
    assert found.linked() == {("ann", "whatsapp:US.1", 1)}
    assert found.identities["ann", "whatsapp:US.2"]["is_deleted"]
    assert found.tied() == {("US.1", "w1", "ann", "s-ann")}
    assert found.outcomes == {HandshakeOutcome.LINKED: 2, HandshakeOutcome.REUSED: 1}


def test_the_same_customer_again_is_no_new_link() -> None:
    found = Witness().take([mint(-10), message(1), message(5)])
    assert found.linked() == {("ann", "whatsapp:US.1", 1)}
    assert found.outcomes == {HandshakeOutcome.LINKED: 1}


def test_an_earlier_message_of_the_same_customer_is_the_one_that_counts() -> None:
    found = Witness().take([mint(-10), message(5), message(1)])
    assert found.tied() == {("US.1", "w1", "ann", "s-ann")}
    assert [name[:2] for name in found.linked()] == [("ann", "whatsapp:US.1")]
    assert not found.identities["ann", "whatsapp:US.1"]["is_deleted"]


@pytest.mark.parametrize(
    ("minutes", "outcome"),
    [
        (DAY - 10, HandshakeOutcome.LINKED),
        (DAY + 60, HandshakeOutcome.EXPIRED),
        (-10.9, HandshakeOutcome.LINKED),
        (-15, HandshakeOutcome.EARLY),
    ],
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_token_counts_from_its_mint_until_it_expires_by_the_times_of_the_events(
    minutes: float, outcome: HandshakeOutcome, order: tuple[int, int]
) -> None:
    told = [mint(-10), message(minutes)]
    found = Witness().take(told[place] for place in order)
    assert found.outcomes == {outcome: 1}
    assert bool(found.linked()) == bool(found.tied()) == (outcome is HandshakeOutcome.LINKED)


def test_a_token_that_two_visitors_have_ties_nobody_and_what_it_tied_is_taken_back() -> None:
    for order in itertools.permutations([mint(-10, "ann"), mint(-9, "bob"), message(0)]):
        found = Witness().take(order)
        assert len(found.linked()) == len(found.tied()) == 0
        assert found.outcomes[HandshakeOutcome.AMBIGUOUS] == 1


def test_what_a_later_message_of_the_customer_tied_is_taken_back_too() -> None:
    """Its link has the later time until an earlier message comes, and keeps it."""
    found = Witness().take([mint(-10, "bob"), message(1), message(0), mint(-5, "ann")])
    assert found.linked() == set()


def test_who_was_deposed_is_tied_again_by_a_message_that_is_earlier_still() -> None:
    found = Witness().take([mint(-10), message(5, fact_id="a"), message(3, "US.2")])
    assert {name[:2] for name in found.linked()} == {("ann", "whatsapp:US.2")}
    found.take([message(2, fact_id="b")])
    assert {name[:2] for name in found.linked()} == {("ann", "whatsapp:US.1")}
    found.take([message(1, "US.2", fact_id="c")])
    assert {name[:2] for name in found.linked()} == {("ann", "whatsapp:US.2")}
    found.take([message(0, fact_id="d")])
    assert {name[:2] for name in found.linked()} == {("ann", "whatsapp:US.1")}


def test_a_token_that_nobody_was_given_is_counted_when_its_state_leaves() -> None:
    found = Witness(evicted_after_ms=DAY * MINUTE).take([message(0), message(1, "US.2")])
    assert found.outcomes == {}
    later = claim("", 3 * DAY, anonymous_id="eve", user_id="u9", handshake_token="")
    found.take([later])
    for _ in range(3):  # each looks at those that there were at its beginning
        found.end_epoch()
    assert found.outcomes == {HandshakeOutcome.UNKNOWN: 2}
    assert found.linked() == {("eve", "u9", 3 * DAY)}


def test_what_clients_say_of_a_token_is_apart_from_what_the_collector_minted() -> None:
    """Their tokens tie whom they always did, and cannot take the place of a side of ours."""
    forged = [claim("", 0, anonymous_id="eve"), claim("", 0, user_id="whatsapp:US.1")]
    keyed = [(f"t{keys.OF_HANDSHAKE}{TOKEN}".encode(), CLAIMS.encode(one)) for one in forged]
    found = Witness().take([mint(-10)])
    found._process(keyed)
    assert found.tied() == set()
    assert found.linked() == {("eve", "whatsapp:US.1", 0)}
    found.take([message(1)])
    assert found.tied() == {("US.1", "w1", "ann", "s-ann")}


def test_a_link_that_was_taken_back_stands_again_once_another_token_makes_it() -> None:
    found = Witness().take([mint(-10), message(2, "US.2"), message(1, "US.1")])
    found.take([claim("", 9, anonymous_id="ann", user_id="whatsapp:US.2", handshake_token="")])
    assert found.linked() == {("ann", "whatsapp:US.1", 1), ("ann", "whatsapp:US.2", 9)}


@pytest.mark.parametrize("seed", seeds(50))
def test_the_verdict_is_that_of_the_set(seed: int) -> None:
    chance = random.Random(seed)
    told = [mint(chance.choice((-10, -10, -5)), chance.choice(("ann", "ann", "ann", "bob"))) for _ in range(2)]
    told += [
        message(chance.choice((-20, 0, 1, 2, 2000)), f"US.{chance.randint(1, 3)}", f"w{number}")
        for number in range(chance.randint(0, 4))
    ]
    wanted = Witness().take(told)
    for _ in range(5):
        order = [*told, *chance.choices(told, k=2)]
        chance.shuffle(order)
        found = Witness().take(order)
        assert found.tied() == wanted.tied()
        assert {name[:2] for name in found.linked()} == {name[:2] for name in wanted.linked()}
