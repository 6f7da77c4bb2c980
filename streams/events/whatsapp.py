"""The events of a chunk that speak of WhatsApp: what they say, read once for claims and for signals. Pure.

Those that the collector made of a webhook or of a mint are known by `origin`, which no client can set; those that an
integrator's server sends by their names and their channel. All others cost one look at two columns.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import polars as pl

from schemas import whatsapp
from streams.events.documents import Chat, reader
from streams.uuids import named_uuid

_MESSAGE_ID_CHARS_MAX: Final = 200  # longer ones are named by a UUID made of them
_ID_CHARS_MAX: Final = 200  # of a customer or a number: WhatsApp's have 131 at most
_LOOKED_AT: Final = (
    "origin", "event_type", "event_name", "channel_type", "external_id", "anonymous_id", "user_id", "handshake_token",
    "message_id", "tenant_id", "project_id", "properties",
)  # fmt: skip


_read: Final = reader(Chat)


class Told(NamedTuple):
    """One such event. row: its place in the frame; customer: '' where none is named; times in ms."""

    row: int
    origin: str
    event_name: str
    tenant_id: str
    project_id: str
    customer: str
    anonymous_id: str
    user_id: str
    handshake_token: str
    message_id: str
    members: Chat

    @property
    def is_of_chat(self) -> bool:
        """Whether an integrator's server sent it."""
        return self.origin == ""

    @property
    def number(self) -> str:
        """The business number that it names; ''."""
        return fit(self.members.phone_number_id)

    @property
    def fact_id(self) -> str:
        """The id of the message that it speaks of, else of the event itself."""
        wamid = self.members.message_id or self.message_id
        return wamid if len(wamid) <= _MESSAGE_ID_CHARS_MAX else named_uuid(wamid)


def fit(text: str | None) -> str:
    """An id that can be kept; '' for one that is none, or longer than any of WhatsApp's."""
    return text if text is not None and len(text) <= _ID_CHARS_MAX else ""


def told(frame: pl.DataFrame) -> Sequence[Told]:
    """The rows that speak of WhatsApp. Reads the columns that `enrich` has made."""
    origins, channels = frame["origin"], frame["channel_type"]
    wanted = origins != ""
    if (of_channel := channels == whatsapp.CHANNEL).any():
        wanted |= of_channel
    if not wanted.any():
        return ()
    return list(_told(frame, wanted.arg_true()))


def _told(frame: pl.DataFrame, rows: pl.Series) -> Iterator[Told]:
    columns = {name: frame[name].gather(rows).to_list() for name in _LOOKED_AT}
    members = _read(columns["properties"])
    for place, row in enumerate(rows.to_list()):
        origin, name = columns["origin"][place], columns["event_name"][place]
        if columns["event_type"][place] != "track" or not (origin or name in whatsapp.LIVE_CHAT):
            continue
        yield Told(
            row,
            origin,
            name,
            columns["tenant_id"][place],
            columns["project_id"][place],
            fit(whatsapp.customer_id(columns["external_id"][place] or "")),
            columns["anonymous_id"][place],
            columns["user_id"][place] or "",
            columns["handshake_token"][place] or "",
            columns["message_id"][place],
            members[place],
        )
