"""Which dead letter a record becomes: the same one however often it dies, and wherever it stands then."""

from schemas.codec import Codec
from schemas.column_codec import Invalid
from schemas.outcomes import DeadReason
from streams.dead_letters import DeadLetters
from streams.runtime.operator import Records
from tests.streams.raw import IDS, key_of, raw_event
from tests.streams.universe import made_uuid

LETTERS = Codec("dead_letters", IDS)


def letter_id(offset: int, *, generation: int = 1, replay_of: str | None = None) -> str:
    """The id of the dead letter of a record at this offset."""
    replays = {} if replay_of is None else {(2, offset): replay_of}
    records = Records([2], [offset], [key_of(raw_event())], [b"junk"], replays)
    bad = Invalid(0, DeadReason.NOT_AVRO, "why")
    outputs = DeadLetters("raw_events", generation, IDS, lambda: 7).of(records, [bad])
    (record,) = outputs.records["dead_letters"]
    found: str = LETTERS.decode(record["value"])["dead_letter_id"]
    return found


def test_a_record_read_again_is_the_same_dead_letter_and_another_record_another() -> None:
    assert letter_id(5) == letter_id(5)
    assert len({letter_id(5), letter_id(6), letter_id(5, generation=2)}) == 3


def test_a_replay_that_dies_again_stays_the_dead_letter_that_it_was() -> None:
    first = letter_id(5)
    assert letter_id(900, replay_of=first) == first
    assert letter_id(900, replay_of=made_uuid("of the sink")) == made_uuid("of the sink")
