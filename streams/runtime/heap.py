"""Freed memory, back to the system.

What a backlog needs for a while, C's allocator keeps: each of a worker's threads (librdkafka's, polars') has freed what
the loop's thread goes on without. Measured after a backlog of 200,000 events: 140 of 690 MiB.
"""

import ctypes
from collections.abc import Callable
from typing import Final

# glibc's. Other C libraries have none, and need none.
_trim: Final[Callable[[int], int] | None] = getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Let the system have all pages on which nothing is left. 2 to 40 ms."""
    if _trim is not None:
        _trim(0)
