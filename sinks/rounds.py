"""Work beside the consumer loops, on a thread of its own: a round at a time, until the process stops."""

from collections.abc import Callable
from threading import Event
from typing import Final

import structlog

log = structlog.get_logger()

_FIRST_S: Final = 5.0  # the first round waits for less than the others: what is in the tables is of interest at once


def keep_rounds(work: Callable[[Event], None], interval_s: float, stopping: Event) -> None:
    """Do a round of work every `interval_s` until `stopping` is set."""
    pause_s = min(interval_s, _FIRST_S)
    while not stopping.wait(pause_s):
        work(stopping)
        pause_s = interval_s


def let_go(close: Callable[[], None]) -> None:
    """Close connections; trouble with that is told and changes nothing."""
    try:
        close()
    except Exception as error:
        log.warning("closing failed", error=str(error))
