"""Which events must be seen in order by one worker: visitor and session id for the key (`schemas.keys`) of a raw event.

The visitor is the anonymous_id, or the user_id when there is none. Where these are placeholders that name nobody (the
nil UUID, `undefined`: schemas.placeholders), address and user agent are added, or all strangers would be one visitor
with one endless session in one partition. A retry has the same key, so it is still recognised. Rejected: the message
id instead, with which each event would be a session and a state of its own.
"""

import hashlib
from typing import Final

from schemas.message_ids import canonical_uuid
from schemas.placeholders import is_placeholder

SESSION_ID_CHARS_MAX: Final = 100


def client_session_id(sent: str | int | None) -> str | None:
    """The session id to keep: a UUID in lower case, other text as sent; None when absent, empty or too long."""
    if sent is None:
        return None
    text = sent if isinstance(sent, str) else str(sent)
    if not 0 < len(text) <= SESSION_ID_CHARS_MAX:
        return None
    return canonical_uuid(text) or text


def visitor_of(
    anonymous_id: str,
    user_id: str | None,
    ip_address: str,
    user_agent: str,
    own_placeholders: frozenset[str] = frozenset(),
) -> str:
    """Who an event is from, as far as its order is concerned. own_placeholders: those of its project."""
    if anonymous_id and not is_placeholder(anonymous_id, own_placeholders):
        return anonymous_id
    if user_id and not is_placeholder(user_id, own_placeholders):
        return user_id
    sender = hashlib.sha256(f"{ip_address}\0{user_agent}".encode()).hexdigest()[:16]
    return f"{anonymous_id or user_id}/{sender}"
