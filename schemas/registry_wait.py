"""Waiting for the schema registry at start, so that its absence neither ends a process nor is met on an event loop.

What is asked here is answered from memory later.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from schemas.registry import RegistryUnavailableError, SchemaIds

_FIRST_PAUSE_S: Final = 0.5
_PAUSE_S_MAX: Final = 10.0


def wait_for_registry(
    ids: SchemaIds, topics: Iterable[str], wait: Callable[[float], bool], on_wait: Callable[[str], None]
) -> bool:
    """Have the ids of these topics known; for a thread that may block.

    `wait(seconds)` answers whether it is to be given up; then so does this, with False. `on_wait` is told the reason
    for each pause.
    """
    pauses = _pauses()
    for topic in topics:
        while (reason := _problem(ids, topic)) is not None:
            on_wait(reason)
            if wait(next(pauses)):
                return False
    return True


async def registry_answers(
    ids: SchemaIds, topics: Iterable[str], stop: asyncio.Event, on_wait: Callable[[str], None]
) -> bool:
    """The same for an event loop, which goes on meanwhile; given up when `stop` is set."""
    pauses = _pauses()
    for topic in topics:
        while (reason := await asyncio.to_thread(_problem, ids, topic)) is not None:
            on_wait(reason)
            try:
                await asyncio.wait_for(stop.wait(), next(pauses))
            except TimeoutError:
                continue
            return False
    return not stop.is_set()


def _problem(ids: SchemaIds, topic: str) -> str | None:
    try:
        ids.schema_id(topic)
    except RegistryUnavailableError as error:
        return str(error)
    return None


def _pauses() -> Iterator[float]:
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(pause_s * 2, _PAUSE_S_MAX)
