"""The watermark: the highest (generation, source_offset) of a partition; whatever is at or below it is a repeat.

Both are packed into one integer, generation << 48 | source_offset, so that a recreated raw_events, whose offsets start
at 0 in a higher generation, stands above everything before it. NONE is below everything.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

NONE: Final = -1
OFFSET_BITS: Final = 48
OFFSET_END: Final = 1 << OFFSET_BITS
GENERATION_END: Final = 1 << 15

Sources = npt.NDArray[np.int64]


def pack(generation: int, source_offset: int) -> int:
    """The watermark of a record."""
    return generation << OFFSET_BITS | source_offset


def generation_of(source: int) -> int:
    """The generation of a packed source."""
    return source >> OFFSET_BITS


def offset_of(source: int) -> int:
    """The source_offset of a packed source."""
    return source & (OFFSET_END - 1)


def fresh(sources: Sources, watermark: int) -> npt.NDArray[np.bool_]:
    """True for each source above the watermark and above all before it."""
    below = np.empty_like(sources)
    below[:1] = watermark
    np.maximum.accumulate(sources[:-1], out=below[1:])
    np.maximum(below, watermark, out=below)
    kept: npt.NDArray[Any] = sources > below
    return kept
