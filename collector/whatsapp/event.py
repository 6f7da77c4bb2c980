"""What an item says, as the raw event of a project. Pure."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from collector.events.admit import RawEvent
from collector.events.context import with_notes
from collector.events.event import Refused
from collector.events.times import Bounds
from collector.projects.numbers import Numbered
from collector.whatsapp.ids import hashed_id
from collector.whatsapp.items import Personal, Said, Value
from collector.whatsapp.tokens import NOTHING, Sought, find
from collector.whatsapp.webhook import Item
from schemas import whatsapp
from schemas.outcomes import DeadReason
from schemas.whatsapp_settings import WhatsAppSettings

_HASHED: Final = "hashed"
_ALL: Final = "all"
_ID_CHARS_MAX: Final = 500
_DAY_MS: Final = 86_400_000


class TenantKeys(NamedTuple):
    """tokens: by which a tenant's handshake tokens are found, the one that mints first; none: none is looked for.
    ids: by which its ids are hashed, None where the collector has no secret for it."""

    tokens: Sequence[bytes]
    ids: bytes | None


class Bound(NamedTuple):
    """What bounds an event."""

    event_bytes_max: int
    times: Bounds


class IdsSecretMissingError(RuntimeError):
    """A project wants hashed ids, and there is no secret to hash them with: nothing of it may be published."""


def sought_token(said: Said, keys: TenantKeys) -> Sought:
    """The handshake token among the texts of an item."""
    if not said.carriers or not keys.tokens:
        return NOTHING
    found = [find(keys.tokens, text) for text in said.carriers]
    return next((one for one in found if one.token), Sought("", any(one.is_wrong for one in found)))


def event_of(
    said: Said,
    item: Item,
    owner: Numbered,
    keys: TenantKeys,
    token: str,
    received_at: int,
    event_id: str,
    bound: Bound,
    replay_of: str = "",
) -> RawEvent:
    """The event. Raises Refused for an item without id, time or customer, and IdsSecretMissingError."""
    project, settings = owner
    to_id = _hasher(settings.ids == _HASHED, keys.ids)
    key = _error_key(item, received_at) if said.event_name == whatsapp.CHANNEL_ERROR else said.key
    _require(said, item, key)
    client_message_id = ":".join(_plain(part, to_id) for part in key)
    if len(client_message_id) > _ID_CHARS_MAX:
        raise Refused(DeadReason.WHATSAPP_ITEM_INVALID, f"its id has more than {_ID_CHARS_MAX} characters")
    customer = to_id(said.customer)
    timestamp, notes = _timestamp(said.at_s, received_at, bound.times)
    if replay_of:
        notes["replay_of"] = replay_of
    if item.is_mended:
        notes["repaired"] = "lone_surrogates"
    properties = _properties(said, to_id, token, settings)
    context = msgspec.json.encode({"channel_type": whatsapp.CHANNEL, "externalId": customer})
    if len(properties) > bound.event_bytes_max:
        raise Refused(DeadReason.EVENT_TOO_LARGE, f"{len(properties)} bytes, at most {bound.event_bytes_max}")
    return RawEvent(
        event_id,
        project.message_ids(client_message_id),
        client_message_id,
        project.tenant_id,
        project.project_id,
        "track",
        said.event_name,
        timestamp,
        received_at,
        "",
        # What the number itself tells of, and no customer, is the number's.
        f"{whatsapp.USER_PREFIX}{customer or item.change.number}",
        None,
        None,
        None,
        "",
        "",
        properties,
        with_notes(context, notes) if notes else context,
        whatsapp.ORIGIN,
    )


def _require(said: Said, item: Item, key: Sequence[str]) -> None:
    if said.event_name == whatsapp.CHANNEL_ERROR:
        return
    lacking = [
        name
        for name, value in (("id", key), ("time", said.at_s), ("customer", said.customer))
        if value is None or not value
    ]
    if lacking:
        what = f"{item.kind.value or 'handover'} of {item.change.field}"
        raise Refused(DeadReason.WHATSAPP_ITEM_INVALID, f"an item ({what}) has no {', no '.join(lacking)}")


def _error_key(item: Item, received_at: int) -> Sequence[str]:
    digest = hashlib.sha256(item.raw).hexdigest()[:32]
    return "error", item.change.number, digest, str(received_at // _DAY_MS)


def _hasher(is_hashed: bool, key: bytes | None) -> Callable[[str], str]:
    if not is_hashed:
        return str
    if key is None:
        raise IdsSecretMissingError
    return lambda text: hashed_id(key, text)


def _plain(value: str, to_id: Callable[[str], str]) -> str:
    return to_id(value) if isinstance(value, Personal) else value


def _properties(said: Said, to_id: Callable[[str], str], token: str, settings: WhatsAppSettings) -> bytes:
    properties: dict[str, Value | msgspec.Raw] = {name: _told(value, to_id) for name, value in said.properties.items()}
    if said.wa_id and settings.ids != _HASHED:
        properties["wa_id"] = said.wa_id
    if token:
        properties["handshake_token"] = token
    if settings.keep == _ALL:
        properties |= {name: value for name, value in said.content.items() if value}
    return msgspec.json.encode(properties)


def _told(value: Value, to_id: Callable[[str], str]) -> Value:
    return to_id(str(value)) if isinstance(value, Personal) else value


def _timestamp(at_s: int | None, received_at: int, bounds: Bounds) -> tuple[int, dict[str, object]]:
    """(ms, notes): the item's time, or received_at and the rule by which."""
    if at_s is None:
        return received_at, {}
    if bounds.allow(at_s * 1000, received_at):
        return at_s * 1000, {}
    return received_at, {"timestamp_rule": bounds.rule(at_s * 1000, received_at), "timestamp": at_s}
