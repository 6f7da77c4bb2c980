"""`python -m streams run` with faults of the tests' choosing, named in the environment.

KILL_BEFORE_STATES=n: SIGKILL when the outputs of the n-th epoch of raw events are durable and its states are not.
STATES_OF=table: of that table's states instead, for this and for SUSPEND_BEFORE_STATES.
KILL_BEFORE_COMMIT=n: SIGKILL when the states of the n-th epoch of raw events are durable and its offsets are not
committed.
SUSPEND_BEFORE_ASKING=n: SIGSTOP when the outputs of the n-th epoch of raw events are durable, before the coordinator is
asked whether its states may be written.
SUSPEND_BEFORE_STATES=n: SIGSTOP when the coordinator has answered that they may.
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


def _signal_before_states(epochs: int, number: signal.Signals) -> None:
    write_states = Epochs._write_states
    left = epochs

    async def write_states_after_it(self: Any, changes: Iterable[Changes]) -> Any:
        nonlocal left
        # An epoch without raw events has none of their outputs either.
        of_table = os.environ.get("STATES_OF", EventChain.table)
        left -= any(of_table in table.changelog for table in changes if table.by_partition)
        if left == 0:
            left = -1
            os.kill(os.getpid(), number)
        return await write_states(self, changes)

    Epochs._write_states = write_states_after_it  # type: ignore[method-assign]


def _suspend_before_asking(epochs: int) -> None:
    end_unless_owner = Epochs._end_unless_owner
    left = epochs

    async def suspended(self: Any) -> None:
        nonlocal left
        left -= any(self.topics[event.message.topic] == "raw_events" for event in self._processed)
        if left == 0:
            left = -1
            os.kill(os.getpid(), signal.SIGSTOP)
        await end_unless_owner(self)

    Epochs._end_unless_owner = suspended  # type: ignore[method-assign]


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
    _signal_before_states(int(number), signal.SIGKILL)
if number := os.environ.get("SUSPEND_BEFORE_STATES"):
    _signal_before_states(int(number), signal.SIGSTOP)
if number := os.environ.get("SUSPEND_BEFORE_ASKING"):
    _suspend_before_asking(int(number))
if number := os.environ.get("KILL_BEFORE_COMMIT"):
    _kill_before_commit(int(number))

if __name__ == "__main__":
    app()
