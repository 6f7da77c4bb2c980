"""How old records get before they are written: soon while the database has time to spare, later when it has not."""

from typing import Final

# Of the time of the thread that writes. Half of it would leave no room for a database that becomes slower.
_BUSY_SHARE_MAX: Final = 0.4
_MEMORY: Final = 16  # so many writes are what is known of the database: a second or two


class FlushAge:
    """The age at which a partition's batch is written, in seconds from `least_s` to `most_s`.

    Each partition's batch is an INSERT of its own, and a small one costs the database nearly what a large one does. So
    the age is as short as keeps the thread that writes busy for a set share of its time: what a round of all partitions
    takes decides, and a database that answers later, for whatever reason, is asked less often.

    Rejected: one INSERT for the batches of several partitions. Its token would be of no use to the next owner of one of
    them, and without it an INSERT that is still under way somewhere would stand twice.
    """

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._write_s = 0.0

    def wrote(self, seconds: float) -> None:
        """A batch took so long, with the pauses between its attempts: an outage is no slower than the longest age."""
        self._write_s += (min(seconds, self._most_s) - self._write_s) / _MEMORY

    def seconds(self, partitions: int) -> float:
        """For a consumer that writes so many partitions."""
        return min(self._most_s, max(self._least_s, partitions * self._write_s / _BUSY_SHARE_MAX))
