"""When a worker stops rather than make dead letters of a topic, and what does not count."""

from typing import Final

import pytest

from schemas.outcomes import DeadReason
from schemas.settings import load
from streams.runtime.breaker import Breaker, DeadLimits, TooManyDeadError
from streams.runtime.operator import Outputs

LIMITS: Final = DeadLimits(share_max=0.5, share_records=100, run_max=40)


def chunk(kept: int = 0, dead: int = 0, reason: DeadReason = DeadReason.NOT_AVRO) -> Outputs:
    return Outputs(kept=kept, dead={reason: dead} if dead else {})


def test_a_run_longer_than_allowed_stops_the_worker() -> None:
    breaker = Breaker("raw_events", LIMITS)
    breaker.note(chunk(dead=40), 0)
    with pytest.raises(TooManyDeadError, match="41 records in a row"):
        breaker.note(chunk(dead=1), 0)


def test_any_sound_record_ends_a_run() -> None:
    breaker = Breaker("raw_events", LIMITS)
    for _ in range(9):
        breaker.note(chunk(kept=40), 0)
        breaker.note(chunk(dead=20), 0)


def test_a_share_larger_than_allowed_stops_the_worker_and_old_records_are_forgotten() -> None:
    breaker = Breaker("raw_events", LIMITS)
    for _ in range(20):
        breaker.note(chunk(kept=10), 0)
    for _ in range(5):
        breaker.note(chunk(kept=1, dead=9), 0)
    assert breaker.share == pytest.approx(0.45)
    with pytest.raises(TooManyDeadError, match="54 of the last 100"):
        breaker.note(chunk(kept=1, dead=9), 0)


def test_a_few_records_are_no_share() -> None:
    breaker = Breaker("raw_events", LIMITS)
    breaker.note(chunk(kept=1, dead=30), 0)
    assert breaker.share == pytest.approx(0.3)


def test_nobody_with_a_write_key_can_stop_a_worker() -> None:
    breaker = Breaker("identity_claims", LIMITS)
    for _ in range(100):
        breaker.note(chunk(dead=30, reason=DeadReason.OUTPUT_TOO_LARGE), 0)
    assert breaker.share == 0


def test_replays_that_die_again_do_not_count() -> None:
    breaker = Breaker("raw_events", LIMITS)
    for _ in range(100):
        breaker.note(chunk(dead=30), 30)
    assert breaker.share == 0


def test_bad_records_amid_a_little_traffic_do_not_stop_a_worker_by_default() -> None:
    settings = load({})
    limits = DeadLimits(
        settings.streams_dead_share_max, settings.streams_dead_share_records, settings.streams_dead_run_max
    )
    breaker = Breaker("raw_events", limits)
    for _ in range(400):
        breaker.note(chunk(kept=10, dead=8), 0)
