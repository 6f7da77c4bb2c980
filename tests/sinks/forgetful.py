"""The sink without one of its safeguards, for negative controls: `FORGET=table python -m tests.sinks.forgetful run`.

A test that counts each row once proves something only if it counts doubles when the safeguards are gone.
"""

import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final
from unittest.mock import patch

from sinks import __main__ as program
from sinks import watermark
from sinks.batch import Rows
from sinks.clickhouse import ClickHouseWriter
from sinks.delivery import Delivery


def forget_table() -> None:
    """The table is not asked what it has: planned batches and their tokens are all there is."""
    attempt = Delivery._try

    def without_doubt(self: Delivery, batch: Any, rows: Rows, _doubtful: bool) -> Any:
        return attempt(self, batch, rows, False)

    patch.object(Delivery, "_try", without_doubt).start()


def forget_tokens() -> None:
    """Neither is the table asked, nor does it recognise a batch."""
    forget_table()
    insert = ClickHouseWriter.insert

    def insert_anew(self: ClickHouseWriter, rows: Rows, token: str) -> None:
        insert(self, rows, f"{token}/{uuid.uuid4()}")

    patch.object(ClickHouseWriter, "insert", insert_anew).start()


def forget_watermark() -> None:
    """Every record is a row, however often it comes."""
    patch.object(watermark, "fresh", lambda sources, _mark: sources != watermark.NONE).start()


def forget_batch(number: int = 3) -> None:
    """One batch of events is acknowledged and not written, and nobody looks whether it is there."""
    forget_table()
    insert = ClickHouseWriter.insert
    left = number

    def insert_or_not(self: ClickHouseWriter, rows: Rows, token: str) -> None:
        nonlocal left
        if self._table == "events":
            left -= 1
            if left == 0:
                return
        insert(self, rows, token)

    patch.object(ClickHouseWriter, "insert", insert_or_not).start()


_SAFEGUARDS: Final[Mapping[str, Callable[[], None]]] = {
    "table": forget_table,
    "tokens": forget_tokens,
    "watermark": forget_watermark,
    "batch": forget_batch,
}

if __name__ == "__main__":
    _SAFEGUARDS[os.environ["FORGET"]]()
    program.app()
