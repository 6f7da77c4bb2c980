"""A business number's desk: signals told to the real operator over a table in memory, and the rows that come out."""

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from schemas import keys
from schemas.codec import Codec
from schemas.column_codec import ColumnCodec
from schemas.whatsapp_settings import NumberSettings, WhatsAppSettings
from streams.conversations.chain import LOOK_MS, ConversationChain
from streams.conversations.settings import BusinessNumbers
from streams.conversations.signal import Signal
from streams.conversations.state import ConversationStateCodec
from streams.runtime.eviction import Evictor
from streams.runtime.operator import Outgoing, Outputs, Records
from streams.runtime.state_cache import StateCache
from tests.streams.raw import IDS
from tests.streams.readers import in_ms
from tests.streams.runtime.tables import FakeTable

Row = dict[str, Any]
NUMBER: Final = "900000000000001"
T0: Final = 1_793_610_000_000  # 2026-11-02T09:00:00Z
MINUTE: Final = 60_000
GENERATION: Final = 3
SIGNALS: Final = Codec("conversation_signals", IDS)
ROWS: Final = ColumnCodec("conversations", IDS)
_KINDS: Final = {
    "C": "customer", "S": "started", "Q": "queue", "AB": "to_bot", "AA": "to_agent", "E": "ended",
    "B": "outbound", "A": "outbound", "st": "outbound",
}  # fmt: skip


def signal(what: str, minute: float, fact_id: str = "", customer: str = "US.1", **more: Any) -> Signal:
    """A signal of a story: C customer, B/A bot or agent as told, Q/AB/AA assigned, E ended, S started, st a status."""
    at = T0 + round(minute * MINUTE)
    if what in ("A", "B"):
        more = {"sender": "agent" if what == "A" else "bot", "trust": "told"} | more
    wa_id, previous = more.pop("wa_id", ""), more.pop("previous_customer", "")
    received_at = more.pop("received_at", at)
    return Signal(
        *(0, 0, GENERATION, "t", "p", NUMBER, customer, wa_id, previous, _KINDS.get(what, what)),
        *(fact_id or f"{what}{minute:g}", at, received_at),
        **more,
    )


def numbers(inactivity_s: int = 86_400, grace_s: int = 0, **of_number: str) -> BusinessNumbers:
    """The settings of the one project."""
    found = BusinessNumbers()
    number = NumberSettings("12025550180", **of_number)
    found.by_project = {
        "p": WhatsAppSettings(numbers={NUMBER: number}, inactivity_s=inactivity_s, reopen_grace_s=grace_s)
    }
    return found


class Desk:
    """One worker's part, and what it published. Its clock stands unless it is told to `wait`."""

    def __init__(self, settings: BusinessNumbers | None = None, evicted_after_ms: int = 10**15) -> None:
        self.settings = settings or numbers()
        self.table = FakeTable("conversations")
        self.now_ms = 0
        self.published: list[Row] = []
        self.told: list[tuple[bytes, bytes]] = []
        self.outputs = Outputs()
        self.evictor = Evictor(evicted_after_ms)
        self.chain = self._chain()

    def _chain(self) -> ConversationChain:
        states = StateCache(self.table, ConversationStateCodec(), self.evictor)
        return ConversationChain("signals", states, self.settings, IDS, GENERATION, lambda: self.now_ms)

    def tell(self, signals: Iterable[Signal], epochs: Sequence[int] = ()) -> "Desk":
        """Publish signals and work on them; `epochs`: after how many an epoch ends, besides the last."""
        start = len(self.told)
        self.told += [
            (keys.of_signal(one.tenant_id, one.project_id, NUMBER), SIGNALS.encode(one._asdict())) for one in signals
        ]
        ends = sorted({start, *(start + end for end in epochs if start + end < len(self.told)), len(self.told)})
        for begin, end in pairwise(ends):
            self.work(begin, end)
            self.end_epoch()
        return self

    def work(self, start: int, end: int) -> None:
        """Process what was told, from one place to another."""
        told = self.told[start:end]
        records = Records([1] * len(told), range(start, end), [key for key, _ in told], [value for _, value in told])
        self.outputs = self.chain.process(records)
        self.published += rows_of(self.outputs.records.get("conversations", []))

    def end_epoch(self, durable: float = 1.0, chance: random.Random | None = None) -> None:
        """Make an epoch durable; with less than 1 the worker is killed with such a share of the states written."""
        end = self.chain.end_epoch()
        self.published += rows_of(end.outputs.records.get("conversations", []))
        if durable == 1.0:
            self.chain.confirm({})
            return
        for partition, pairs in end.changes.by_partition.items():
            written = [pair for pair in pairs if (chance or random).random() < durable]
            self.table.store.write(partition, written)
        self.restart()

    def restart(self) -> None:
        """Another worker takes over what is durable."""
        self.table.store.version += 1
        self.chain = self._chain()

    def wait(self, until_ms: int) -> "Desk":
        """Let time pass, and a look for silence."""
        self.now_ms = max(until_ms, LOOK_MS)
        self.chain._looked_ms = 0
        if self.chain.is_due():
            self.end_epoch()
        return self

    def rows(self) -> list[Row]:
        """The living rows, in the order of their beginning."""
        newest: dict[str, Row] = {}
        for row in self.published:
            known = newest.get(row["conversation_id"])
            if known is None or row["version"] >= known["version"]:
                newest[row["conversation_id"]] = row
        return sorted(
            (row for row in newest.values() if not row["is_deleted"]), key=lambda row: (row["started_at"], str(row))
        )

    def tombstones(self) -> set[str]:
        """The ids of those that ceased."""
        return {row["conversation_id"] for row in self.published if row["is_deleted"]} - {
            row["conversation_id"] for row in self.rows()
        }


def rows_of(records: Iterable[Outgoing]) -> list[Row]:
    """Records of conversations, with times in ms."""
    values = [record["value"] for record in records]
    batch, _, invalid = ROWS.decode_columns(values)
    assert not invalid
    return [
        {name: in_ms(value) if hasattr(value, "timestamp") else value for name, value in row.items()}
        for row in batch.to_pylist()
    ]


def short(row: Row) -> tuple[Any, ...]:
    """State, minutes of started/first/resolved, and message/bot/agent counts, as the stories write them."""
    return (
        row["current_state"],
        *(minute(row[name]) for name in ("started_at", "first_response_at", "resolved_at")),
        f"{row['message_count']}/{row['bot_message_count']}/{row['agent_message_count']}",
    )


def minute(at: int | None) -> float | None:
    """Minutes after T0."""
    return None if at is None else round((at - T0) / MINUTE, 2)
