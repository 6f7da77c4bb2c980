"""A state's bytes as text for people. Pure."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from schemas import keys
from streams.conversations.state import ConversationStateCodec
from streams.identities.state import IdentityStateCodec
from streams.inspection.topics import Found
from streams.runtime.envelope import applied_offset, last_active_ms, version_of
from streams.runtime.newest import Newest
from streams.runtime.operator import StateCodec
from streams.runtime.shard import Scopes, Shard
from streams.sessions.slices import MOMENT_BITS
from streams.sessions.state import SEEN_BYTES, SessionStateCodec

_CODECS: Final[Mapping[str, Callable[[], StateCodec[Any]]]] = {
    "sessions": SessionStateCodec,
    "identities": IdentityStateCodec,
    "conversations": ConversationStateCodec,
}


def is_of_visitor(key: bytes, anonymous_id: str, project_id: str) -> bool:
    """Whether a key of raw_events is that of a visitor of a project, with a session id of the client or without."""
    _, _, rest = key.partition(b"/")
    visitor, scope = anonymous_id.encode(), f"{project_id}/".encode()
    session = f"s/{keys.escaped(anonymous_id)}/".encode()
    return rest.startswith(scope) and (rest == scope + b"v/" + visitor or rest[len(scope) :].startswith(session))


def newest(records: Iterable[Found]) -> list[Found]:
    """The last state of each partition and key, as a restore would have it."""
    states: dict[tuple[int, bytes], Found] = {}
    partitions: dict[int, Newest] = defaultdict(lambda: Newest(Shard(Scopes())))
    for record in records:
        name = record.partition, record.key
        if partitions[record.partition].apply(record.key, record.value, record.headers):
            states.pop(name, None)
            if record.value is not None:
                states[name] = record
    return list(states.values())


def described(table: str, changelog: str, found: Found) -> str:
    """A state, decoded. Raises UnreadableStateError."""
    value = found.value or b""
    body = _plain("", _CODECS[table]().decode(value))
    for known in ("applied", "active_ms", "changed", "renamed"):
        body.pop(known, None)
    lines = {
        "key": found.key.decode("utf-8", "backslashreplace"),
        "table": table,
        "partition": found.partition,
        "changelog": f"{changelog}, offset {found.offset}",
        "version": version_of(value) or "none: of a release before there were versions",
        "applied": f"{applied_offset(value)}, the highest source offset in it",
        "active": at(last_active_ms(value)),
        "bytes": len(value),
    }
    head = "\n".join(f"{name:10} {text}" for name, text in lines.items())
    return f"{head}\n{json.dumps(body, indent=2, ensure_ascii=False)}"


def at(ms: int) -> str:
    """A time for people; the number when it is none."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return str(ms)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {member: _plain(member, one) for member, one in asdict(value).items()}
    if isinstance(value, dict):
        return {key: _plain("", one) for key, one in value.items()}
    if isinstance(value, list | set | tuple):
        return [_plain("", one) for one in value]
    if isinstance(value, bytes):
        return f"{len(value) // SEEN_BYTES} message ids"
    if isinstance(value, int) and value > 0:
        if name.endswith("_at"):
            return at(value >> MOMENT_BITS)
        if name.endswith("_ms"):
            return at(value)
    return value
