"""Waiting for what other processes do: no fixed sleep, and a failure that says what there was instead."""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Final

WAIT_S: Final = 60.0
_POLL_S: Final = 0.05


def wait_until(
    condition: Callable[[], bool], found: Callable[[], object], *, timeout_s: float = WAIT_S, poll_s: float = _POLL_S
) -> None:
    """Return once `condition()` holds; it is asked every `poll_s` seconds, and once more after `timeout_s`.

    Raises AssertionError with what `found()` says then: what there is instead, or the logs of those waited for.
    """
    give_up_at = time.monotonic() + timeout_s
    while True:
        last = time.monotonic() > give_up_at
        if condition():
            return
        if last:
            raise AssertionError(f"after {timeout_s:.0f} s still not, but: {found()}")
        time.sleep(poll_s)


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds, while this process's own loop goes on."""
    async with asyncio.timeout(WAIT_S):
        for pause_ms in itertools.count(1):
            if condition():
                return
            await asyncio.sleep(min(pause_ms, 50) / 1000)
