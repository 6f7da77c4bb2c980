"""The sink without one of its safeguards, for negative controls: `FORGET=table python -m tests.sinks.forgetful run`.

A test that counts each row once proves something only if it counts doubles when the safeguards are gone.
"""

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Final
from unittest.mock import patch

from sinks import __main__ as program
from sinks.batching import watermark
from sinks.batching.batch import Rows
from sinks.clickhouse.writer import ClickHouseWriter
from sinks.write.attempts import Attempts
from sinks.write.writer import Writer

Patch = AbstractContextManager[object]


def forget_table() -> Patch:
    """The table is not asked what it has: planned batches and their tokens are all there is."""
    attempt = Attempts.attempt

    def without_doubt(self: Attempts, _doubtful: bool) -> object:
        return attempt(self, False)

    return patch.object(Attempts, "attempt", without_doubt)


def forget_tokens(writer: type[Writer] = ClickHouseWriter) -> Patch:
    """The table does not recognise a batch."""
    insert = writer.insert

    def insert_anew(self: Writer, rows: Rows, token: str, despite_views: bool = False) -> None:
        insert(self, rows, f"{token}/{uuid.uuid4()}", despite_views)

    return patch.object(writer, "insert", insert_anew)


def forget_watermark() -> Patch:
    """Every record is a row, however often it comes."""
    return patch.object(watermark, "fresh", lambda sources, _mark: sources != watermark.NONE)


def forget_batch(number: int = 3) -> Patch:
    """One batch of events is acknowledged and not written."""
    insert = ClickHouseWriter.insert
    left = number

    def insert_or_not(self: ClickHouseWriter, rows: Rows, token: str, despite_views: bool = False) -> None:
        nonlocal left
        if self._table == "events":
            left -= 1
            if left == 0:
                return
        insert(self, rows, token, despite_views)

    return patch.object(ClickHouseWriter, "insert", insert_or_not)


# What FORGET names: neither tokens nor a batch are missed by a sink that asks the table.
_SAFEGUARDS: Final[Mapping[str, Sequence[Callable[[], Patch]]]] = {
    "table": [forget_table],
    "tokens": [forget_table, forget_tokens],
    "watermark": [forget_watermark],
    "batch": [forget_table, forget_batch],
}

if __name__ == "__main__":
    with ExitStack() as forgotten:
        for safeguard in _SAFEGUARDS[os.environ["FORGET"]]:
            forgotten.enter_context(safeguard())
        program.app()
