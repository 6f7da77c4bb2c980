"""raw_events: the five steps over session states."""

from collections.abc import Callable, Mapping

from faust.types import TP

from streams.events.chain import Outputs, Pipeline
from streams.events.decode import Records
from streams.runtime.eviction import Evictor
from streams.runtime.tables import Changes, Epoch, StateTable, changelog_topic
from streams.sessions.conversions import ConversionEvents
from streams.sessions.fold import settle
from streams.sessions.state import SessionState, decode_state, encode_state, new_state

TABLE = "sessions"


class SessionStateCodec:
    """Session states as values of the table."""

    new = staticmethod(new_state)
    encode = staticmethod(encode_state)
    decode = staticmethod(decode_state)


class RawEvents:
    """What is done with chunks of raw_events."""

    name = "raw_events"
    table = TABLE

    def __init__(
        self,
        topic: str,
        table: StateTable,
        pipeline: Pipeline,
        conversions: ConversionEvents,
        evictor: Evictor,
        now_ms: Callable[[], int],
    ) -> None:
        self.topic = topic
        self._table = table
        self._pipeline = pipeline
        self._conversions = conversions
        self._evictor = evictor
        self._now_ms = now_ms
        self._epoch: Epoch[SessionState] = Epoch(lambda: table.store, SessionStateCodec())

    def process(self, records: Records) -> Outputs:
        return self._pipeline.process(records, self._epoch.state_of, self._conversions.by_project, self._now_ms())

    def bury(self, records: Records, detail: str) -> Outputs:
        return self._pipeline.bury(records, detail, self._now_ms())

    def closing(self) -> Outputs:
        outputs = Outputs()
        outputs.add("sessions", self._pipeline.session_records(self._epoch.states()))
        return outputs

    def changelog(self) -> str:
        return changelog_topic(self._table)

    def changes(self) -> Changes:
        for _, _, state in self._epoch.states():
            settle(state, self._pipeline.rules.sessions)
        changes = self._epoch.changes()
        for partition, keys in self._evictor.expired(self._table.store, self._epoch).items():
            changes.setdefault(partition, []).extend((key, None) for key in keys)
        return changes

    def settle(self, changes: Changes, reached: Mapping[TP, int]) -> None:
        self._epoch.settle(changes, reached)

    def abandon(self) -> None:
        self._epoch.abandon()
