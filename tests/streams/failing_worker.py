"""`python -m streams run` with faults of the tests' choosing, named in the environment.

KILL_BEFORE_STATES=n: SIGKILL when the outputs of the n-th epoch of raw events are durable and its states are not.
KILL_BEFORE_COMMIT=n: SIGKILL when the states of the n-th epoch of raw events are durable and its offsets are not
committed.
UNGUARDED=1: states come back from the table without what they know of the records applied to them.
UNDEDUPLICATED=1: message ids are not remembered.
UNHEARD_OF=word: the assignor's broker has not heard of the topics with this word in their names.
"""

import os
import signal
from collections.abc import Iterable
from typing import Any

import numpy as np
from faust.assignor.partition_assignor import PartitionAssignor

from streams.__main__ import app
from streams.events import deduplicate
from streams.events.chain import EventChain
from streams.runtime.epochs import Epochs
from streams.runtime.operator import Changes
from streams.sessions.state import SessionState, SessionStateCodec, decode_state


def decode_unguarded(value: bytes) -> SessionState:
    """A state that does not know which records are applied to it."""
    state = decode_state(value)
    state.applied = -1
    state.seen = b""  # without it the message ids would recognise the records in place of the offsets
    return state


def _kill_before_states(epochs: int) -> None:
    write_states = Epochs._write_states
    left = epochs

    async def write_states_or_die(self: Any, changes: Iterable[Changes]) -> Any:
        nonlocal left
        # An epoch without raw events has none of their outputs either.
        left -= any(EventChain.table in table.changelog for table in changes if table.by_partition)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return await write_states(self, changes)

    Epochs._write_states = write_states_or_die  # type: ignore[method-assign]


def _kill_before_commit(epochs: int) -> None:
    make_durable = Epochs._make_durable
    left = epochs

    async def make_durable_or_die(self: Any) -> None:
        nonlocal left
        await make_durable(self)
        # An epoch without raw events leaves nothing that the next worker could skip.
        left -= any(self.topics[event.message.topic] == "raw_events" for event in self._processed)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Epochs._make_durable = make_durable_or_die  # type: ignore[method-assign]


def _forget_ids() -> None:
    """Every event gets an identity of its own."""

    def unique(ids: Any) -> Any:
        return np.random.default_rng().integers(0, 2**63, len(ids)).astype(np.uint64)

    deduplicate.hash_uuids = unique  # type: ignore[attr-defined,assignment]


def _hide_topics(word: str) -> None:
    grouped = PartitionAssignor._get_copartitioned_groups.__func__

    def without(cls: Any, topics: set[str], *args: Any) -> Any:
        return grouped(cls, {topic for topic in topics if word not in topic}, *args)

    PartitionAssignor._get_copartitioned_groups = classmethod(without)


if word := os.environ.get("UNHEARD_OF"):
    _hide_topics(word)
if os.environ.get("UNGUARDED"):
    SessionStateCodec.decode = staticmethod(decode_unguarded)
if os.environ.get("UNDEDUPLICATED"):
    _forget_ids()
if number := os.environ.get("KILL_BEFORE_STATES"):
    _kill_before_states(int(number))
if number := os.environ.get("KILL_BEFORE_COMMIT"):
    _kill_before_commit(int(number))

if __name__ == "__main__":
    app()
