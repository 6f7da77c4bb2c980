"""How many tokens an address may ask for in a minute. Pure: the clock is given."""

from array import array
from typing import Final

_SLOTS: Final = 1 << 16


class Pace:
    """Counts by address in 65,536 counters that begin anew each minute: as much memory as it ever takes.

    Two addresses may share a counter, of a thousand in a minute about sixteen; which ones, nobody outside can know,
    since Python's hash has a secret of its own in each process.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = -1
        self._counts = array("L", bytes(8 * _SLOTS))

    def allows(self, address: str, now_s: float) -> bool:
        """Whether one more is allowed; '' is nobody in particular, and always is."""
        if not address:
            return True
        minute = int(now_s // 60)
        if minute != self._minute:
            self._minute = minute
            self._counts = array("L", bytes(8 * _SLOTS))
        slot = hash(address) % _SLOTS
        self._counts[slot] += 1
        return self._counts[slot] <= self._per_minute
