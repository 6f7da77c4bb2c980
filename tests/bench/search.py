"""The highest rate on a grid that holds, found by doubling and then halving."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """held: the highest rate that held, 0 if none did; refused: the lowest above it that did not, if one was tried."""

    held: int
    refused: int | None


def highest(holds: Callable[[int], bool], first: int, step: int, trials: int) -> Found:
    """Try multiples of `step`, at most so many: from `first` twice as many each time, then between what held and what
    did not, until these are one step apart.
    """
    found = Found(0, None)
    for _ in range(trials):
        if found.refused is not None and found.refused - found.held <= step:
            break
        rate = _next(found, first, step)
        found = Found(rate, found.refused) if holds(rate) else Found(found.held, rate)
    return found


def _next(found: Found, first: int, step: int) -> int:
    if found.refused is None:
        return found.held * 2 or first
    return found.held + max(1, (found.refused - found.held) // step // 2) * step
