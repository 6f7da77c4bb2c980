"""conversation_signals, whole: what is known of customers, folded into conversations. Pure.

    every chunk:  records ─▶ decode ─▶ check ─▶ customers: names, facts and links, under the name they were told of
                               │         │
                               ▼         ▼
                              dead_letters
                                              └▶ settle: gather, fold, seal ─▶ rows ─▶ conversations
    every minute: customers that have been silent for too long ─▶ settle ─▶ the same

Facts are a set: a signal that a killed worker repeats changes nothing, so none is skipped by its offset; a customer's
states are several, and a kill may have left some of them without it.
"""

from collections.abc import Callable, Iterable
from typing import Final

from schemas import keys
from schemas.column_codec import ColumnCodec, Invalid
from schemas.outcomes import DeadReason, FactOutcome, Remark
from schemas.registry import SchemaIds
from schemas.whatsapp import KINDS
from streams.conversations.customers import Customers
from streams.conversations.names import customers_of, group_of
from streams.conversations.rows import Naming, Number, Row, encode_rows
from streams.conversations.settings import BusinessNumbers
from streams.conversations.settle import settle
from streams.conversations.signal import Signal, read_signals
from streams.conversations.silence import Silences
from streams.conversations.state import ConversationState, silent_ms_of
from streams.dead_letters import DeadLetters
from streams.runtime.operator import EpochEnd, HeldStates, Outputs, Reached, Records

_GENERATION_SHIFT: Final = 48  # bits of a version that are the offset and whether silence was looked for
LOOK_MS: Final = 60_000  # how often it is
_BEHIND_MS: Final = 120_000  # a signal that is older when it comes shows that others wait behind it
_UNKNOWN: Final = -1


class ConversationChain:
    """The operator of conversation_signals, over the states of customers and of their names."""

    name = "conversation_signals"
    table = "conversations"

    def __init__(
        self,
        topic: str,
        states: HeldStates[ConversationState],
        numbers: BusinessNumbers,
        ids: SchemaIds,
        generation: int,
        now_ms: Callable[[], int],
    ) -> None:
        self.topic = topic
        self._states = states
        self._numbers = numbers
        self._generation = generation
        self._now_ms = now_ms
        self._signals = ColumnCodec("conversation_signals", ids)
        self._rows = ColumnCodec("conversations", ids)
        self._dead = DeadLetters(topic, generation, ids, now_ms)
        self._customers: dict[tuple[int, Number], Customers] = {}  # of the open epoch
        self.silences = Silences()
        self._held = _UNKNOWN  # the version of the states whose silences are known
        self._looked_ms = now_ms()
        self._came: dict[int, tuple[int, int]] = {}  # of each partition: the newest signal's time, and when it came

    def process(self, records: Records) -> Outputs:
        """Take the signals of a chunk."""
        outputs = Outputs()
        rows: list[Row] = []
        batch, indexes, invalid = self._signals.decode_columns(records.values)
        for bad in invalid:
            self._dead.add(outputs, records, bad)
        for index, signal in zip(indexes, read_signals(batch), strict=True):
            number = Number(signal.tenant_id, signal.project_id, signal.phone_number_id)
            if problem := _problem(records.keys[index], number, signal):
                self._dead.add(outputs, records, Invalid(index, DeadReason.FIELD_INVALID, problem))
                continue
            partition = records.partitions[index]
            customers = self._of(partition, number)
            outcome = customers.take(signal, records.offsets[index])
            # At once, not once an epoch: a later signal may end a conversation's being that this one began. A worker
            # that is killed has told of it if an epoch ended in between, and the next one must tell the same.
            self._settle(rows, outputs, partition, number, customers)
            outputs.fact(signal.kind, outcome)
            outputs.replayed += outcome is FactOutcome.REPLAYED
            outputs.kept += outcome is not FactOutcome.REPLAYED
        now_ms = self._now_ms()
        for partition, appended_ms in zip(records.partitions, records.appended_ms, strict=False):
            self._came[partition] = appended_ms, now_ms
        outputs.add("conversations", encode_rows(rows, self._rows))
        return outputs

    def _of(self, partition: int, number: Number) -> Customers:
        customers = self._customers.get((partition, number))
        if customers is None:
            customers = self._customers[partition, number] = Customers(self._states, partition, number.key)
        return customers

    def is_due(self) -> bool:
        """Whether it is time to look for silence, and there is some."""
        return self._is_time() and any(True for _ in self.silences.due(self._known_until))

    def end_epoch(self) -> EpochEnd:
        """The rows of conversations that silence has ended, and the changed states."""
        outputs = Outputs()
        rows: list[Row] = []
        if self._is_time():
            self._looked_ms = self._now_ms()
            for partition, key in list(self.silences.due(self._known_until)):
                number, name = _number_and_name(key)
                silent = Customers(self._states, partition, number.key)
                silent.touched[name] = _UNKNOWN
                self._settle(rows, outputs, partition, number, silent, self._known_until(partition))
        self._customers = {}
        outputs.add("conversations", encode_rows(rows, self._rows))
        return EpochEnd(outputs, self._states.end_epoch())

    def _is_time(self) -> bool:
        if self._now_ms() - self._looked_ms < LOOK_MS:
            return False
        if self._states.version != self._held:
            self._held = self._states.version
            of_customers = (held for held in self._states.held() if held[1].startswith(keys.OF_CUSTOMER))
            self.silences.load((partition, key, silent_ms_of(value)) for partition, key, value in of_customers)
        return True

    def _known_until(self, partition: int) -> int:
        """Until when nothing else has come of a partition: till now, unless it is being caught up with."""
        now_ms = self._now_ms()
        appended_ms, came_ms = self._came.get(partition, (_UNKNOWN, _UNKNOWN))
        is_behind = appended_ms >= 0 and now_ms - came_ms < _BEHIND_MS < came_ms - appended_ms
        return appended_ms if is_behind else now_ms

    def _settle(
        self,
        rows: list[Row],
        outputs: Outputs,
        partition: int,
        number: Number,
        customers: Customers,
        looked_ms: int = 0,
    ) -> None:
        """The rows of the customers that were touched."""
        rules = self._numbers.rules(number.project_id, number.phone_number_id)
        naming = Naming(number, rules)
        done: set[str] = set()
        touched = customers.touched
        for one in [customer for name in touched for customer in customers_of(name, customers.names_of)]:
            if one in done:
                continue
            group = group_of(one, customers.names_of)
            done.update(group.names)
            concerned = (touched[name] for name in (*group.names, *group.owners) if name in touched)
            settled = settle(group, customers, rules, naming, max(concerned, default=_UNKNOWN), looked_ms)
            version = self._generation << _GENERATION_SHIFT | settled.applied << 1 | (looked_ms > 0)
            for conversation_id in settled.ceased:
                tombstone = naming.tombstone(group.names[0], customers.state_of(group.names[0]).active_ms)
                rows.append(tombstone | {"conversation_id": conversation_id, "version": version})
            for conversation_id, episode in settled.changed:
                rows.append(naming.row(group, episode) | {"conversation_id": conversation_id, "version": version})
            outputs.remark(Remark.TOMBSTONE, len(settled.ceased))
            outputs.remark(Remark.LATE, settled.late)
            self._note_silence(partition, customers, group.names[0], settled.open_state)
            for name in (*group.names[1:], *group.owners):
                self.silences.note(partition, customers.key(name), 0)
        touched.clear()

    def _note_silence(self, partition: int, customers: Customers, name: str, state: str) -> None:
        self.silences.note(partition, customers.key(name), customers.state_of(name).silent_ms, state)

    def dead_letters(self, records: Records, bad: Iterable[Invalid]) -> Outputs:
        """The dead letters of some of the records."""
        return self._dead.of(records, bad)

    def confirm(self, reached: Reached) -> None:
        self._states.confirm(reached)
        self.silences.confirm()

    def rollback(self) -> None:
        self._states.rollback()
        self.silences.rollback()
        self._customers = {}


def _number_and_name(key: bytes) -> tuple[Number, str]:
    """Of the key of a customer's state."""
    _, tenant_id, project_id, number, name = key.decode().split("/", 4)
    return Number(tenant_id, project_id, keys.unescaped(number)), name


def _problem(key: bytes | None, number: Number, signal: Signal) -> str:
    """What is wrong with a signal; '' when nothing is."""
    if key != number.key:
        return "the Kafka key is not tenant_id/project_id/phone_number_id"
    if signal.kind not in KINDS:
        return f"no such kind of signal: {signal.kind}"
    if not signal.customer or not signal.fact_id:
        return "no customer or no fact is named"
    return ""
