"""UUIDv7 for accepted events: rising within a process, unique among processes."""

from collections.abc import Callable
from typing import Final

_SEQUENCE_MAX: Final = 0xFFF
_VARIANT: Final = 0x8000
_NODE_BITS: Final = 14
_START_BITS: Final = 47  # a bit less than there is room for, so that counting up cannot overflow
_START_MAX: Final = (1 << _START_BITS) - 1


class EventIds:
    """Makes the event ids of one process.

    Layout: 48 bits of milliseconds, a 12-bit sequence number of the request within its millisecond, 14 random bits, and
    48 bits that start at random and count up within the request. `random_bits(k)` gives k random bits.
    """

    def __init__(self, random_bits: Callable[[int], int]) -> None:
        self._random_bits = random_bits
        self._last_ms = -1
        self._sequence = 0
        self._stamp = ""

    def take(self, now_ms: int, count: int) -> list[str]:
        """`count` ids in rising order, all above those given before, also when the clock steps back."""
        if now_ms > self._last_ms:
            self._begin(now_ms)
        elif self._sequence < _SEQUENCE_MAX:
            self._sequence += 1
        else:
            # 4,096 requests within one millisecond: borrow from the next one, as RFC 9562 allows.
            self._begin(self._last_ms + 1)
        random_bits = self._random_bits(_NODE_BITS + _START_BITS)
        node = _VARIANT | random_bits >> _START_BITS
        first = random_bits & _START_MAX
        prefix = f"{self._stamp}{self._sequence:03x}-{node:04x}-"
        if count == 1:
            return [f"{prefix}{first:012x}"]
        return [f"{prefix}{tail:012x}" for tail in range(first, first + count)]

    def _begin(self, ms: int) -> None:
        """Turn to a millisecond; `_stamp` is what all its ids begin with."""
        self._last_ms = ms
        self._sequence = 0
        self._stamp = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7"
