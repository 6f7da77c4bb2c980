"""How many tokens an address gets in a minute."""

from collector.whatsapp.pace import Pace


def test_an_address_gets_so_many_in_a_minute_and_as_many_in_the_next() -> None:
    pace = Pace(60)
    assert [pace.allows("203.0.113.7", 120.0 + number / 2) for number in range(61)] == [True] * 60 + [False]
    assert pace.allows("203.0.113.8", 150.0)
    assert pace.allows("203.0.113.7", 180.0)


def test_who_is_nobody_in_particular_is_not_counted() -> None:
    pace = Pace(1)
    assert all(pace.allows("", 0.0) for _ in range(100))


def test_any_number_of_addresses_takes_the_same_memory() -> None:
    pace = Pace(60)
    size = pace._counts.itemsize * len(pace._counts)
    for number in range(100_000):
        pace.allows(f"2001:db8::{number:x}", 1.0)
    assert pace._counts.itemsize * len(pace._counts) == size < 2**20
