"""One record of conversation_signals, decoded: what is known of a customer at a business number. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import pyarrow as pa


class Signal(NamedTuple):
    """The fields of conversation_signals.avsc, in its order; times in ms."""

    source_offset: int
    source_partition: int
    source_generation: int
    tenant_id: str
    project_id: str
    phone_number_id: str
    customer: str
    wa_id: str
    previous_customer: str
    kind: str
    fact_id: str
    at: int
    received_at: int
    sender: str = ""
    trust: str = ""
    is_failed: bool = False
    is_template: bool = False
    is_standby: bool = False
    user_id: str = ""
    handshake_token: str = ""
    anonymous_id: str = ""
    session_id: str = ""
    ctwa_clid: str = ""
    ad_id: str = ""


_TIMES: Final = ("at", "received_at")


def read_signals(batch: pa.RecordBatch) -> Iterator[Signal]:
    """The rows of a decoded chunk."""
    for name in _TIMES:
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, batch.column(place).cast(pa.int64()))
    return map(Signal._make, zip(*(batch.column(name).to_pylist() for name in Signal._fields), strict=True))
