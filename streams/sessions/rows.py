"""Sessions as columns of the topic `sessions`. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import astuple

from schemas import keys
from streams.sessions.fold import sessions, tombstones
from streams.sessions.state import MOMENT_BITS, SessionRules, SessionState, Slice, new_slice

_FIELDS: Final = Slice.__struct_fields__
_DURATION_MAX: Final = 2**31 - 1  # a client's own session may have one event with a clock of another century


class SessionRows:
    """Collects the sessions that an epoch touched, then turns them into columns at once."""

    def __init__(self) -> None:
        self.sessions: list[Slice] = []
        self._tenants: list[str] = []
        self._projects: list[str] = []
        self._applied: list[int] = []
        self._deleted: list[bool] = []

    def add(self, key: bytes, state: SessionState, rules: SessionRules) -> None:
        """The sessions of one key: tombstones first, so that a name taken up again comes after its end."""
        tenant_id, project_id = keys.owner_of(key)
        for session_id in tombstones(state):
            self._append(tenant_id, project_id, state.applied, ceased(session_id, state), is_deleted=True)
        for session in sessions(state, rules):
            self._append(tenant_id, project_id, state.applied, session, is_deleted=False)

    def _append(self, tenant_id: str, project_id: str, applied: int, session: Slice, *, is_deleted: bool) -> None:
        self._tenants.append(tenant_id)
        self._projects.append(project_id)
        self._applied.append(applied)
        self._deleted.append(is_deleted)
        self.sessions.append(session)

    def columns(self, version: int) -> Mapping[str, Sequence[Any]]:
        """The columns by name; `version` is added to the offset each session has reached."""
        slices: dict[str, Sequence[Any]] = dict(
            zip(_FIELDS, zip(*map(astuple, self.sessions), strict=True), strict=True)
        )
        started = [moment >> MOMENT_BITS for moment in slices["first_at"]]
        ended = [moment >> MOMENT_BITS for moment in slices["last_at"]]
        return slices | {
            "tenant_id": self._tenants,
            "project_id": self._projects,
            "started_at": started,
            "ended_at": ended,
            "duration_seconds": [
                min((end - start) // 1000, _DURATION_MAX) for start, end in zip(started, ended, strict=True)
            ],
            "event_count": slices["events"],
            "page_count": slices["pages"],
            "converted": [moment > 0 for moment in slices["conversion_at"]],
            "is_bot": [count > 0 for count in slices["bots"]],
            "version": [version | applied for applied in self._applied],
            "is_deleted": self._deleted,
        }


def ceased(session_id: str, state: SessionState) -> Slice:
    """A session that is no more. Its times are recent, or the table's TTL would drop the tombstone first."""
    session = new_slice(0)
    session.first_at = session.last_at = state.touched_ms << MOMENT_BITS
    session.session_id = session_id
    return session
