"""Where the restores of changelogs go on.

aiokafka moves a partition's position when it gives its records away, and not all of those are delivered: a fetch of
before recovery's seek is none of this restore, and one that brings records of sources, too, may be thrown away for
their sake. What was taken and not delivered is asked for again. So a delivered chunk begins where the one before
ended, and a hole between their records is one that compaction has made.
"""

from collections.abc import Iterable, Mapping

from faust.types import TP


class Restores:
    """Of each changelog's partition: the offset to be delivered next, and whether it has to be sought.

    begun: how often recovery has sought where to begin.
    """

    def __init__(self) -> None:
        self.begun = 0
        self._due: dict[TP, int] = {}
        self._taken: set[TP] = set()

    def begin(self, offsets: Mapping[TP, int]) -> None:
        """Recovery reads these from there on."""
        self.begun += 1
        self._due |= offsets
        self._taken.difference_update(offsets)

    def take(self, tps: Iterable[TP]) -> None:
        """Records of these came. Unless they are delivered they are asked for again."""
        self._taken.update(tp for tp in tps if tp in self._due)

    def deliver(self, tp: TP, end: int) -> int:
        """What was taken of a partition is delivered, up to before `end`; the offset from which on that is."""
        self._taken.discard(tp)
        start = self._due[tp]
        self._due[tp] = max(start, end)
        return start

    def is_due(self, tp: TP) -> bool:
        """Whether recovery has sought where to begin."""
        return tp in self._due

    def passed_over(self) -> dict[TP, int]:
        """What was taken and not delivered: from where on it is to be read again; once."""
        found = {tp: self._due[tp] for tp in self._taken}
        self._taken.clear()
        return found

    def forget(self, tps: Iterable[TP]) -> None:
        """These are no longer ours."""
        for tp in tps:
            self._due.pop(tp, None)
            self._taken.discard(tp)
