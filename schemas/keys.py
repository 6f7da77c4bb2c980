"""The Kafka keys of all topics: built and read here only. Pure.

A key decides what is seen in order by one worker, and in a compacted topic what replaces what, so different things must
never have one key. The parts stand between slashes. Ids of tenants and projects are UUIDs (`projects add` refuses
others) and can hold none; a part that clients choose and that another one follows is escaped: `%` becomes `%25`, `/`
becomes `%2F`. The last part of a key holds what it likes.

    {tenant_id}/{project_id}/s/{visitor}/{session id}     the client keeps sessions with ids of its own
    {tenant_id}/{project_id}/v/{visitor}                  no session id: streams cuts the visitor's events into sessions

are those of raw events, and of the enriched ones that they become.

The visitor stands before a session id that is a UUID too: a client that copies its storage, or a writer of two
projects, sends one UUID for two visitors.

An upgrade from a release that escaped nothing changes few keys: those with such a session id and a visitor that has a
`/` or `%`, and those of identities with such an anonymous_id, which get a second record in the topic and stay one row
in the table. One from a release that left the visitor out before UUIDs changes the keys of those. A session of that
hour is cut in two then, and an event sent before and after it is two events. All others are what they were, byte for
byte; what is in the topic under an older key goes on under it.
"""

from typing import Final

OF_VISITOR: Final = "/a/"
"""Stands between tenant and anonymous_id in the key of an identity claim."""
OF_HANDSHAKE: Final = "/h/"
"""Stands between tenant and handshake token in the key of a claim of what was seen with the token."""

OF_CUSTOMER: Final = b"c/"
"""What the key of a state of a customer's facts begins with. No tenant has such an id: they are UUIDs."""
OF_NAMES: Final = b"a/"
"""What the key of a state of a customer's names begins with."""


def escaped(part: str) -> str:
    """A part behind which another one stands: without a slash, and different for different parts."""
    return part.replace("%", "%25").replace("/", "%2F")


def unescaped(part: str) -> str:
    """What `escaped` was given."""
    return part.replace("%2F", "/").replace("%25", "%")


def is_owner_id(text: str) -> bool:
    """Whether a tenant or project may have this id: it can stand in a key as it is."""
    return text != "" and "/" not in text


def scope(tenant_id: str, project_id: str) -> str:
    """What the keys of a project's raw events begin with. Raises ValueError for ids that no key can hold."""
    for name, text in (("tenant_id", tenant_id), ("project_id", project_id)):
        if not is_owner_id(text):
            raise ValueError(f"{name} {text!r} is empty or has a '/'")
    return f"{tenant_id}/{project_id}/"


def scope_end(key: bytes) -> int:
    """How many bytes of a key many others begin with: tenant and project, or tenant and kind; 0 without such parts."""
    return key.find(b"/", key.find(b"/") + 1) + 1


def of_raw_event(scope: str, visitor: str, session_id: str | None) -> bytes:
    """`session_id`: the client's; None where it keeps none."""
    if session_id is None:
        return f"{scope}v/{visitor}".encode()
    return f"{scope}s/{escaped(visitor)}/{session_id}".encode()


def owner_of(key: bytes | None) -> tuple[str, str]:
    """Tenant and project of a raw or enriched event by its key; ('', '') when it names none."""
    parts = (key or b"").decode("utf-8", "replace").split("/", 2)
    return (parts[0], parts[1]) if len(parts) == 3 else ("", "")


def owner_and_client_session_of(key: bytes) -> tuple[str, str, str | None]:
    """Tenant and project of a raw or enriched event by its key, and the client's session id.

    That, too, by a key of before the visitor stood in all.
    """
    tenant_id, project_id, kind, rest = key.decode("utf-8", "replace").split("/", 3)
    if kind != "s":
        return tenant_id, project_id, None
    visitor, slash, session_id = rest.partition("/")
    return tenant_id, project_id, session_id if slash else visitor


def of_session(tenant_id: str, session_id: str) -> bytes:
    """That of a record of `sessions`."""
    return f"{tenant_id}/{session_id}".encode()


def of_claim(tenant_id: str, anonymous_id: str) -> bytes:
    """That of an identity claim that knows both sides."""
    return f"{tenant_id}{OF_VISITOR}{anonymous_id}".encode()


def is_of_handshake(key: bytes) -> bool:
    """Whether it is the key of an identity claim that speaks of a handshake token."""
    return key.partition(b"/")[2].startswith(OF_HANDSHAKE[1:].encode())


def of_identity(tenant_id: str, anonymous_id: str, user_id: str) -> bytes:
    """That of a record of `identities`."""
    return f"{tenant_id}/{escaped(anonymous_id)}/{user_id}".encode()


def of_signal(tenant_id: str, project_id: str, phone_number_id: str) -> bytes:
    """That of a record of `conversation_signals`: all that a business number hears is seen by one worker, in order.

    A customer is known there by several ids, which meet only so.
    """
    return f"{tenant_id}/{project_id}/{escaped(phone_number_id)}".encode()


def of_conversation(tenant_id: str, conversation_id: str) -> bytes:
    """That of a record of `conversations`."""
    return f"{tenant_id}/{conversation_id}".encode()


def of_customer(number: bytes, customer: str) -> bytes:
    """That of the state of a customer's facts, in the table `conversations`; `number`: the key of its signals."""
    return OF_CUSTOMER + number + b"/" + customer.encode()


def of_names(number: bytes, customer: str) -> bytes:
    """That of what is known of a customer's other names, in the same table."""
    return OF_NAMES + number + b"/" + customer.encode()


def source_of_state(key: bytes) -> bytes:
    """The key of the records that a state is made of: its own, but for those of the table `conversations`."""
    if not key.startswith((OF_CUSTOMER, OF_NAMES)):
        return key
    return b"/".join(key.split(b"/", 4)[1:4])


def of_identity_change(tenant_id: str, anonymous_id: str, user_id: str, changed_at_ms: int) -> bytes:
    """That of a record of `identity_changes`: none replaces another."""
    return f"{tenant_id}/{escaped(anonymous_id)}/{escaped(user_id)}/{changed_at_ms}".encode()


def of_dead_letter(tenant_id: str, project_id: str) -> bytes:
    """That of a dead letter, '' for what is not known of its owner. Nobody reads it."""
    return f"{tenant_id}/{project_id}".encode()
