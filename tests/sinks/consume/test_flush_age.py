"""Batches are written young as long as the database keeps up, whatever a write costs there."""

import pytest

from sinks.consume.flush_age import FlushAge

LEAST_S, MOST_S = 0.25, 1.0
MANY = 200  # writes: more than it remembers


def after(writes: list[float]) -> FlushAge:
    age = FlushAge(LEAST_S, MOST_S)
    for seconds in writes:
        age.wrote(seconds)
    return age


def test_a_database_that_nobody_knows_yet_is_written_to_early() -> None:
    assert after([]).seconds(12) == LEAST_S


@pytest.mark.parametrize("partitions", [1, 12, 64, 500])
@pytest.mark.parametrize("write_s", [0.0, 0.002, 0.01, 0.02, 0.1, 3.0])
def test_the_writing_thread_is_busy_for_less_than_half_of_its_time_or_batches_have_their_whole_age(
    partitions: int, write_s: float
) -> None:
    age_s = after([write_s] * MANY).seconds(partitions)
    assert LEAST_S <= age_s <= MOST_S
    assert age_s == MOST_S or partitions * write_s / age_s < 0.5


def test_it_does_not_wait_longer_than_that_asks_for() -> None:
    assert after([0.01] * MANY).seconds(1) == LEAST_S
    assert LEAST_S < after([0.01] * MANY).seconds(12) < MOST_S / 2


def test_a_database_that_becomes_slow_is_soon_asked_less_often_and_one_that_recovers_more_often() -> None:
    age = after([0.001] * MANY)
    for _ in range(24):  # two rounds of twelve partitions
        age.wrote(0.1)
    assert age.seconds(12) == MOST_S
    for _ in range(MANY):
        age.wrote(0.001)
    assert age.seconds(12) == LEAST_S


def test_an_outage_is_forgotten_as_soon_as_any_slow_write() -> None:
    age = after([0.001] * MANY)
    age.wrote(600.0)  # with the pauses between its attempts
    for _ in range(24):  # two rounds of twelve partitions
        age.wrote(0.001)
    assert age.seconds(12) < MOST_S / 2


def test_a_longest_age_below_the_least_is_what_counts() -> None:
    assert FlushAge(0.25, 0.05).seconds(12) == 0.05
