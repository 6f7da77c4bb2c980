"""Sessions as records of the topic `sessions`, by columns. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from msgspec.structs import astuple

from schemas import keys
from schemas.column_codec import ColumnCodec
from schemas.outcomes import Remark
from streams.runtime.operator import OUTPUT_BYTES_MAX, Outgoing
from streams.sessions.chains import SessionRules, sessions
from streams.sessions.slices import MOMENT_BITS, Slice, new_slice
from streams.sessions.state import SessionState

_FIELDS: Final = Slice.__struct_fields__
# Texts of several events stand in one row, and no record is bad for that: they are shortened.
_ROW_BYTES_MAX: Final = OUTPUT_BYTES_MAX - 16 * 1024  # less the key, of an owner's id and a UUID
_DURATION_MAX: Final = 2**31 - 1  # a client's own session may have one event with a clock of another century

# Of a row: tenant, project, the client's session id, the offset reached, and the session that took it in.
_OfKey = tuple[str, str, str | None, int, str | None]


class SessionRows:
    """Collects the sessions that an epoch touched, then turns them into columns at once."""

    def __init__(self) -> None:
        self.sessions: list[Slice] = []
        self.tombstones = 0
        self._of_keys: list[_OfKey] = []

    def add(self, key: bytes, state: SessionState, rules: SessionRules) -> None:
        """The sessions of one key, each after the tombstones of those that it absorbed."""
        owner = keys.owner_and_client_session_of(key)
        for session, absorbed in sessions(state, rules):
            self.tombstones += len(absorbed)
            for session_id in absorbed:
                self.sessions.append(ceased(session_id, state))
                self._of_keys.append((*owner, state.applied, session.session_id))
            self.sessions.append(session)
            self._of_keys.append((*owner, state.applied, None))

    def columns(self, version: int) -> Mapping[str, Sequence[Any]]:
        """The columns by name; `version` is added to the offset each session has reached."""
        slices: dict[str, Sequence[Any]] = dict(
            zip(_FIELDS, zip(*map(astuple, self.sessions), strict=True), strict=True)
        )
        tenants, projects, client_sessions, applied_offsets, absorbed_by = zip(*self._of_keys, strict=True)
        started = [moment >> MOMENT_BITS for moment in slices["first_at"]]
        ended = [moment >> MOMENT_BITS for moment in slices["last_at"]]
        return slices | {
            "tenant_id": tenants,
            "project_id": projects,
            "started_at": started,
            "ended_at": ended,
            "duration_seconds": [
                min((end - start) // 1000, _DURATION_MAX) for start, end in zip(started, ended, strict=True)
            ],
            "event_count": slices["events"],
            "page_count": slices["pages"],
            "converted": [moment > 0 for moment in slices["conversion_at"]],
            "is_bot": [count > 0 for count in slices["bots"]],
            "version": [version | applied for applied in applied_offsets],
            "is_deleted": [session_id is not None for session_id in absorbed_by],
            "client_session_id": client_sessions,
            "absorbed_by": absorbed_by,
        }


def ceased(session_id: str, state: SessionState) -> Slice:
    """A session that is no more. Its times are recent, or the table's TTL would drop the tombstone first."""
    session = new_slice(0)
    session.first_at = session.last_at = state.active_ms << MOMENT_BITS
    session.session_id = session_id
    return session


def session_records(
    states: Iterable[tuple[int, bytes, SessionState]],
    codec: ColumnCodec,
    rules: SessionRules,
    version: int,
    remark: Callable[[Remark, int], None] = lambda remark, count: None,
) -> list[Outgoing]:
    """One record for each touched session of the states, and a tombstone for each that ceased to be.

    `remark` is told of tombstones, and of rows that had to be shortened.
    """
    rows = SessionRows()
    for _, key, state in states:
        rows.add(key, state, rules)
    if not rows.sessions:
        return []
    remark(Remark.TOMBSTONE, rows.tombstones)
    columns = rows.columns(version)
    values = _encode(columns, codec)
    if max(map(len, values)) > _ROW_BYTES_MAX:
        too_long = [place for place, value in enumerate(values) if len(value) > _ROW_BYTES_MAX]
        remark(Remark.ROW_CLIPPED, len(too_long))
        for place in too_long:
            rows.sessions[place].clip()
        columns = rows.columns(version)
        values = _encode(columns, codec)
    named = map(keys.of_session, columns["tenant_id"], columns["session_id"])
    return [{"value": value, "key": key} for value, key in zip(values, named, strict=True)]


def _encode(columns: Mapping[str, Sequence[Any]], codec: ColumnCodec) -> list[bytes]:
    schema = codec.arrow_schema
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return codec.encode_columns(pa.RecordBatch.from_arrays(arrays, schema=schema))
