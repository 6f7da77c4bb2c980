"""What the runtime may expect of every operator: the stand-in of the epochs' tests passes what the real ones do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest

from schemas import keys
from schemas.codec import Codec
from schemas.column_codec import Invalid
from schemas.outcomes import DeadReason
from streams.conversations.chain import ConversationChain
from streams.conversations.settings import BusinessNumbers
from streams.conversations.state import ConversationStateCodec
from streams.events.chain import EventChain
from streams.identities.chain import ClaimChain
from streams.identities.state import IdentityStateCodec
from streams.runtime.envelope import applied_offset
from streams.runtime.operator import Operator, Records
from streams.runtime.state_cache import StateCache
from streams.sessions.state import SessionStateCodec
from tests.streams.conversations.desk import NUMBER, SIGNALS, signal
from tests.streams.raw import IDS, RAW, key_of, raw_event
from tests.streams.runtime.epoch_fakes import FakeOperator
from tests.streams.runtime.tables import FakeTable
from tests.streams.universe import PROJECTS, TENANT, Row
from tests.streams.world import conversions, rules, simple_lookups

CLAIMS: Final = Codec("identity_claims", IDS)


@dataclass
class Subject:
    """An operator over a table of its own, and records that it keeps."""

    operator: Operator
    table: FakeTable
    pairs: list[tuple[bytes, bytes]]
    states: list[bytes] | None = None  # their keys, where these are not the records'

    def records(self, start: int, end: int) -> Records:
        found = self.pairs[start:end]
        return Records([1] * len(found), range(start, end), [key for key, _ in found], [value for _, value in found])


def events() -> Subject:
    table, rows = FakeTable("sessions"), [raw_event(number, anonymous_id=f"v{number % 2}") for number in range(4)]
    states = StateCache(table, SessionStateCodec())
    chain = EventChain("raw", states, rules(), simple_lookups(), conversions(), IDS, lambda: 7)
    return Subject(chain, table, [(key_of(row), RAW.encode(row)) for row in rows])


def claims() -> Subject:
    table, rows = FakeTable("identities"), [claim(f"v{number % 2}", f"u{number}") for number in range(4)]
    chain = ClaimChain("claims", StateCache(table, IdentityStateCodec()), IDS, frozenset(), 100, 10**9, 1, lambda: 7)
    return Subject(chain, table, [(keys.of_claim(TENANT, row["anonymous_id"]), CLAIMS.encode(row)) for row in rows])


def claim(visitor: str, user: str) -> Row:
    return {
        "source_offset": 1, "source_partition": 0, "source_generation": 1, "tenant_id": TENANT,
        "project_id": PROJECTS[0], "anonymous_id": visitor, "user_id": user, "handshake_token": "",
        "link_source": "identify", "linked_at": 1_795_000_000_000, "traits": "{}",
    }  # fmt: skip


def conversations() -> Subject:
    number, table = keys.of_signal("t", "p", NUMBER), FakeTable("conversations")
    told = [signal("C", number, customer=f"US.{number % 2}") for number in range(4)]
    states = StateCache(table, ConversationStateCodec())
    chain = ConversationChain("signals", states, BusinessNumbers(), IDS, 1, lambda: 7)
    of = [make(number, name) for make in (keys.of_customer, keys.of_names) for name in ("US.0", "US.1")]
    return Subject(chain, table, [(number, SIGNALS.encode(one._asdict())) for one in told], of)


def fake() -> Subject:
    operator = FakeOperator([])
    return Subject(operator, operator.store, [(b"v%d" % (number % 2), b"%d" % number) for number in range(4)])


@pytest.fixture(params=[events, claims, conversations, fake])
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Callable[[], Subject] = request.param
    return made()


def test_an_epoch_leaves_the_changed_states_of_its_table_and_nothing_twice(subject: Subject) -> None:
    assert subject.operator.process(subject.records(0, 4)).kept == 4
    changes = subject.operator.end_epoch().changes
    assert changes.changelog == subject.table.changelog_topic_name
    states = subject.states or [key for key, _ in subject.pairs]
    assert {key for key, _ in changes.by_partition[1]} == set(states)
    subject.operator.confirm({})
    assert subject.operator.end_epoch().changes.by_partition == {}


def test_nothing_is_the_tables_before_it_is_confirmed(subject: Subject) -> None:
    subject.operator.process(subject.records(0, 4))
    subject.operator.end_epoch()
    assert len(subject.table.store) == 0
    subject.operator.confirm({})
    assert len(subject.table.store) == len(set(subject.states or [key for key, _ in subject.pairs]))


def test_records_that_a_confirmed_state_has_are_replays(subject: Subject) -> None:
    subject.operator.process(subject.records(0, 3))
    subject.operator.end_epoch()
    subject.operator.confirm({})
    outputs = subject.operator.process(subject.records(0, 4))
    assert (outputs.replayed, outputs.kept) == (3, 1)


@pytest.mark.parametrize("epoch_ended", [False, True])
def test_records_rolled_back_are_processed_as_if_never_seen(subject: Subject, epoch_ended: bool) -> None:
    first = subject.operator.process(subject.records(0, 4))
    if epoch_ended:
        subject.operator.end_epoch()
    subject.operator.rollback()
    assert subject.operator.process(subject.records(0, 4)) == first


def test_nothing_is_confirmed_before_an_epoch_ends(subject: Subject) -> None:
    subject.operator.process(subject.records(0, 4))
    with pytest.raises(RuntimeError, match="no epoch has ended"):
        subject.operator.confirm({})


@pytest.mark.parametrize("make", [events, claims])
def test_a_value_begins_with_the_offset_applied(make: Callable[[], Subject]) -> None:
    subject = make()
    subject.operator.process(subject.records(0, 4))
    values = dict(subject.operator.end_epoch().changes.by_partition[1])
    offsets = {key: offset for offset, (key, _) in enumerate(subject.pairs)}
    assert {key: applied_offset(value or b"") for key, value in values.items()} == offsets


def test_bad_records_leave_one_dead_letter_each(subject: Subject) -> None:
    bad = [Invalid(index, DeadReason.STEP_FAILED, "why") for index in (0, 3)]
    outputs = subject.operator.dead_letters(subject.records(0, 4), bad)
    assert (len(outputs.records["dead_letters"]), outputs.dead) == (2, {DeadReason.STEP_FAILED: 2})
