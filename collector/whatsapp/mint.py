"""A handshake token for a visitor, the event that says so, and the link that carries it. Pure: clock and ids are given.

The event is an ordinary one of the visitor's, in the visitor's own session: `collector.events.admit` makes it. Only its
origin is set here, by which streams know that no client made it up.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote

import msgspec

from collector.events.admit import Limits, RawEvent, admit
from collector.events.arrival import Arrival
from collector.events.context import require_object
from collector.events.event import Raw, Refused, read_event
from collector.events.event_ids import EventIds
from collector.events.parse import Batch, MalformedError
from collector.whatsapp.tokens import HOUR_MS, mint
from schemas import whatsapp
from schemas.outcomes import DeadReason
from schemas.placeholders import is_placeholder
from schemas.whatsapp_settings import WhatsAppSettings

_TOKEN: Final = "{token}"
_TEXT_CHARS_MAX: Final = 200
# A client that named a token itself would claim somebody else's with the collector's word.
_NOT_OF_CLIENTS: Final = frozenset({"handshake_token", "handshakeToken", "channel_type", "channelType", "tally"})
_UTM: Final[Mapping[str, str]] = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "name",
    "utm_term": "term",
    "utm_content": "content",
}
_decode_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode


class Wish(NamedTuple):
    """Who asks for a token, and for which number; '' for what is not said. context: a JSON object."""

    anonymous_id: str
    user_id: str = ""
    session_id: str = ""
    number: str = ""
    text: str = ""
    context: bytes = b"{}"


class Minted(NamedTuple):
    """url: that of the chat, with the token in its text. expires_at: ms since 1970, until when a message counts."""

    token: str
    url: str
    expires_at: int
    event: RawEvent

    def answer(self) -> dict[str, object]:
        """As clients are told."""
        moment = datetime.fromtimestamp(self.expires_at / 1000, UTC).isoformat(timespec="milliseconds")
        return {
            "success": True,
            "token": self.token,
            "url": self.url,
            "expiresAt": moment.replace("+00:00", "Z"),
        }


class _Asked(msgspec.Struct, gc=False, rename="camel"):
    session_id: str | int | None = None
    phone_number_id: str | int | None = None
    text: str | None = None


class _Keyed(msgspec.Struct, gc=False, rename="camel"):
    write_key: str | None = None


_decode_asked: Final = msgspec.json.Decoder(_Asked).decode
_decode_keyed: Final = msgspec.json.Decoder(_Keyed).decode


def key_of_body(body: bytes) -> str | None:
    """The write key in a body. Raises MalformedError when it is no JSON object."""
    try:
        return _decode_keyed(body).write_key
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"malformed JSON: {error}") from None


def wish_of_body(body: bytes) -> Wish:
    """What a POST asks for. Raises MalformedError saying what is wrong with it."""
    try:
        event, _ = read_event(body)
        asked = _decode_asked(body)
        context = require_object(event.context, DeadReason.CONTEXT_NOT_OBJECT, "context")
        _decode_object(context)
    except Refused as refusal:
        raise MalformedError(refusal.detail) from None
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"malformed JSON: {error}") from None
    session_id, number = ("" if one is None else str(one) for one in (asked.session_id, asked.phone_number_id))
    return Wish(event.anonymous_id or "", event.user_id or "", session_id, number, asked.text or "", context)


def wish_of_query(query: str, referrer: str, fresh_id: str) -> Wish:
    """What a link asks for: `number`, `anonymousId`, `text`, utm_* of the campaign. fresh_id: without anonymousId."""
    given = dict(parse_qsl(query))
    context: dict[str, dict[str, str]] = {}
    if campaign := {name: given[utm] for utm, name in _UTM.items() if given.get(utm)}:
        context["campaign"] = campaign
    if referrer:
        context["page"] = {"referrer": referrer}
    return Wish(
        given.get("anonymousId") or fresh_id,
        given.get("userId", ""),
        given.get("sessionId", ""),
        given.get("number", ""),
        given.get("text", ""),
        msgspec.json.encode(context),
    )


def mint_for(
    wish: Wish, settings: WhatsAppSettings | None, key: bytes, arrival: Arrival, limits: Limits, ids: EventIds,
    own_placeholders: frozenset[str] = frozenset(),
) -> Minted:  # fmt: skip
    """The token, its link and its event. Raises MalformedError saying what is wrong with the wish."""
    if not wish.anonymous_id or is_placeholder(wish.anonymous_id, own_placeholders):
        raise MalformedError("anonymousId names the visitor that the token stands for: it is missing, or names nobody")
    number, phone = _number(wish.number, settings)
    settings = settings or WhatsAppSettings()
    project, now = arrival.project, arrival.received_at
    hour = now // HOUR_MS
    token = mint(key, project.project_id, wish.anonymous_id, wish.session_id, number, hour)
    expires_at = (hour + 1) * HOUR_MS + settings.token_ttl_s * 1000
    event = _event(wish, token, number, expires_at, arrival, limits, ids)
    return Minted(token, _url(phone, wish.text or settings.text, token), expires_at, event)


def _number(wanted: str, settings: WhatsAppSettings | None) -> tuple[str, str]:
    """(phone_number_id, phone) of the number that is wanted, by either, else of the only one."""
    numbers = {} if settings is None else settings.numbers
    if not numbers:
        raise MalformedError("the project has no WhatsApp number: `python -m collector projects whatsapp` adds one")
    if not wanted:
        if len(numbers) > 1:
            raise MalformedError(f"phoneNumberId is one of {', '.join(sorted(numbers))}: the project has several")
        (number,) = numbers
        return number, numbers[number].phone
    for number, of_number in numbers.items():
        if wanted == number or whatsapp.customer_id(wanted) == of_number.phone:
            return number, of_number.phone
    raise MalformedError(f"the project has no WhatsApp number {wanted[:50]!r}")


def _url(phone: str, text: str, token: str) -> str:
    if len(text) > _TEXT_CHARS_MAX:
        raise MalformedError(f"text has {len(text)} characters, at most {_TEXT_CHARS_MAX}")
    carrier = text if _TOKEN in text else f"{text} (Ref {_TOKEN})"
    return f"https://wa.me/{phone}?text={quote(carrier.replace(_TOKEN, token), safe='')}"


def _event(
    wish: Wish, token: str, number: str, expires_at: int, arrival: Arrival, limits: Limits, ids: EventIds
) -> RawEvent:
    context = {name: raw for name, raw in _decode_object(wish.context).items() if name not in _NOT_OF_CLIENTS}
    if wish.session_id:
        context["sessionId"] = Raw(msgspec.json.encode(wish.session_id))
    call = {
        "type": "track",
        "event": whatsapp.HANDSHAKE_CREATED,
        # The same token is the same event.
        "messageId": f"handshake:{token}",
        "anonymousId": wish.anonymous_id,
        "userId": wish.user_id or None,
        "properties": {"handshake_token": token, "phone_number_id": number, "expires_at": expires_at},
        "context": context,
    }
    admission = admit(Batch([msgspec.json.encode(call)], True), arrival, limits, ids)
    if admission.refused:
        raise MalformedError(admission.refused[0].detail)
    (event,) = admission.admitted
    event.origin = whatsapp.ORIGIN_HANDSHAKE
    return event
