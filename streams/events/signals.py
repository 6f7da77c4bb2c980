"""What events say of conversations: the records of conversation_signals. Pure.

    WhatsApp Message Received           customer
    WhatsApp Message Status             outbound: sent, delivered, read, played; failed
    WhatsApp Message Echoed             outbound, by whom the number's settings say
    WhatsApp Handover                   to_bot, queue
    WhatsApp User Changed               alias
    Live Chat Message Sent / Received   customer, or outbound by whom the event says
    Live Chat Conversation …            started; queue, to_bot, to_agent; ended

All else says nothing: reactions, edits, what groups write. Nor does a message of a Live Chat event without WhatsApp's
id, where a webhook tells of the same message under it; such ones are counted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import polars as pl
import pyarrow as pa

from schemas import keys, whatsapp
from schemas.column_codec import ColumnCodec
from schemas.placeholders import is_placeholder
from schemas.whatsapp_settings import NumberSettings
from streams.events.whatsapp import Told, fit
from streams.runtime.operator import Outgoing

_TEMPLATES: Final = ("marketing", "utility", "authentication")  # what pricing categories begin with
_TEMPLATE: Final = "template"
_FAILED: Final = "failed"
_AI_AGENT: Final = "ai_agent"
_BY_EVENTS: Final = "events"
_CUSTOMER: Final = "customer"
_TEXT_CHARS_MAX: Final = 500
_ASSIGNED: Final[Mapping[str, str]] = {
    "queue": whatsapp.QUEUE, whatsapp.BOT: whatsapp.TO_BOT, whatsapp.AGENT: whatsapp.TO_AGENT,
}  # fmt: skip
_AUTHORS: Final = frozenset((whatsapp.BOT, whatsapp.AGENT))


class Numbers(Protocol):
    """What projects' settings say of business numbers."""

    def number(self, project_id: str, phone_number_id: str) -> NumberSettings:
        """The settings of a number."""

    def only_number(self, project_id: str) -> str:
        """The project's number when it has one, else ''."""


class NoNumbers:
    """Of no project any."""

    def number(self, project_id: str, phone_number_id: str) -> NumberSettings:
        return NumberSettings()

    def only_number(self, project_id: str) -> str:
        return ""


class Found(NamedTuple):
    """What an event says; `row` is its place in the frame."""

    row: int
    kind: str
    tenant_id: str
    project_id: str
    phone_number_id: str
    customer: str
    wa_id: str
    fact_id: str
    sender: str = ""
    trust: str = ""
    is_failed: bool = False
    is_template: bool = False
    is_standby: bool = False
    previous_customer: str = ""
    user_id: str = ""
    ctwa_clid: str = ""
    ad_id: str = ""


class Signals(NamedTuple):
    """What the events of a chunk say. unnamed: messages without WhatsApp's id."""

    found: Sequence[Found]
    unnamed: int

    def without_session(self, of_whatsapp: Iterable[Told]) -> list[int]:
        """The rows that make no session: what a webhook tells, but for what the customer wrote."""
        wrote = {one.row for one in self.found if one.kind == whatsapp.CUSTOMER}
        return [one.row for one in of_whatsapp if one.origin == whatsapp.ORIGIN and one.row not in wrote]


def signals(of_whatsapp: Sequence[Told], numbers: Numbers) -> Signals:
    """What the events say."""
    found: list[Found] = []
    unnamed = 0
    for one in of_whatsapp:
        number_id = one.number or numbers.only_number(one.project_id)
        if not (number_id and one.customer) or one.members.group_id:
            continue
        number = numbers.number(one.project_id, number_id)
        told = _of_chat(one) if one.is_of_chat else _of_webhook(one, number)
        if told is None:
            continue
        is_message = told["kind"] in (whatsapp.CUSTOMER, whatsapp.OUTBOUND)
        if one.is_of_chat and is_message and not one.members.message_id and number.source != _BY_EVENTS:
            unnamed += 1
            continue
        found.append(_found(one, number_id, told))
    return Signals(found, unnamed)


class _Fields(dict[str, str | bool]):
    """Of a `Found`: `kind`, and those that are not as by default."""


def _found(one: Told, number_id: str, told: _Fields) -> Found:
    phone = fit(whatsapp.customer_id(one.members.wa_id or ""))
    user_id = one.user_id if one.is_of_chat and not is_placeholder(one.user_id) else ""
    return Found(
        one.row,
        str(told["kind"]),
        one.tenant_id,
        one.project_id,
        number_id,
        one.customer,
        phone if whatsapp.is_phone(phone) else "",
        one.fact_id,
        str(told.get("sender", "")),
        str(told.get("trust", "")),
        bool(told.get("is_failed")),
        bool(told.get("is_template")),
        bool(one.members.is_standby),
        str(told.get("previous_customer", "")),
        user_id[:_TEXT_CHARS_MAX] if not user_id.startswith(whatsapp.USER_PREFIX) else "",
        str(told.get("ctwa_clid", "")),
        str(told.get("ad_id", "")),
    )


def _of_webhook(one: Told, number: NumberSettings) -> _Fields | None:
    members, name = one.members, one.event_name
    if name == whatsapp.MESSAGE_RECEIVED:
        referral = members.referral
        clid, ad = (referral.ctwa_clid or "", referral.source_id or "") if referral is not None else ("", "")
        return _Fields(kind=whatsapp.CUSTOMER, ctwa_clid=clid[:_TEXT_CHARS_MAX], ad_id=ad[:_TEXT_CHARS_MAX])
    if name in (whatsapp.MESSAGE_STATUS, whatsapp.MESSAGE_ECHOED):
        category = (members.pricing_category or "").lower()
        is_template = category.startswith(_TEMPLATES) or (members.message_type or "").lower() == _TEMPLATE
        fields = _Fields(kind=whatsapp.OUTBOUND, is_template=is_template, is_failed=members.status == _FAILED)
        if members.sender in _AUTHORS:
            fields |= {"sender": members.sender or "", "trust": whatsapp.TOLD}
        elif name == whatsapp.MESSAGE_ECHOED and not is_template:
            sender = number.standby_sender if members.is_standby else number.echo_sender
            fields |= {"sender": sender if sender in _AUTHORS else "", "trust": whatsapp.ECHO}
        return fields
    if name == whatsapp.HANDOVER:
        return _Fields(kind=whatsapp.TO_BOT if members.new_owner_role == _AI_AGENT else whatsapp.QUEUE)
    if name == whatsapp.USER_CHANGED:
        former = fit(whatsapp.customer_id(members.previous_customer or ""))
        return _Fields(kind=whatsapp.ALIAS, previous_customer=former) if former not in ("", one.customer) else None
    return None


def _of_chat(one: Told) -> _Fields | None:
    name, members = one.event_name, one.members
    if name == whatsapp.CHAT_STARTED:
        return _Fields(kind=whatsapp.STARTED)
    if name == whatsapp.CHAT_ENDED:
        return _Fields(kind=whatsapp.ENDED)
    if name == whatsapp.CHAT_ASSIGNED:
        kind = _ASSIGNED.get(members.to or "")
        return _Fields(kind=kind) if kind is not None else None
    # In Segment's specification Sent is the customer's message, and Received the agent's.
    sender = members.sender or (_CUSTOMER if name == whatsapp.CHAT_SENT else whatsapp.AGENT)
    if sender == _CUSTOMER:
        return _Fields(kind=whatsapp.CUSTOMER)
    return _Fields(kind=whatsapp.OUTBOUND, sender=sender, trust=whatsapp.TOLD) if sender in _AUTHORS else None


def encode_signals(
    frame: pl.DataFrame, found: Sequence[Found], codec: ColumnCodec, generation: int
) -> Iterator[Outgoing]:
    """The records. Reads the places and times of the events from the frame."""
    if not found:
        return iter(())
    rows = pl.Series([one.row for one in found], dtype=pl.UInt32)
    times = {name: frame[name].gather(rows).cast(pl.Int64).to_list() for name in ("timestamp", "received_at")}
    columns: dict[str, Sequence[object]] = dict(zip(Found._fields, map(list, zip(*found, strict=True)), strict=True))
    columns |= {name: frame[name].gather(rows).to_list() for name in ("source_offset", "source_partition")}
    columns |= {"source_generation": [generation] * len(found), "at": times["timestamp"]}
    columns["received_at"] = times["received_at"]
    columns |= {name: [""] * len(found) for name in ("handshake_token", "anonymous_id", "session_id")}
    schema = codec.arrow_schema
    batch = pa.RecordBatch.from_arrays([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
    of = [keys.of_signal(one.tenant_id, one.project_id, one.phone_number_id) for one in found]
    return ({"key": key, "value": value} for key, value in zip(of, codec.encode_columns(batch), strict=True))
