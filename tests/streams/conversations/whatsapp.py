"""Events of WhatsApp's webhooks, as the collector makes them, and of integrators, on their whole way in memory.

raw events → signals → conversations
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from schemas import whatsapp
from streams.events.chain import EventChain
from streams.runtime.operator import Outgoing, Outputs, Records
from streams.runtime.state_cache import StateCache
from streams.sessions.state import SessionStateCodec
from tests.streams.conversations.desk import MINUTE, NUMBER, T0, Desk, Row, numbers
from tests.streams.raw import IDS, RAW, key_of, raw_event
from tests.streams.runtime.tables import FakeTable
from tests.streams.universe import PROJECTS, TENANT, made_uuid
from tests.streams.world import conversions, rules, simple_lookups

ANA: Final = "US.90017735512240018831"
ANA_PHONE: Final = "12025550101"


def webhook(name: str, minutes: float, customer: str = ANA, **members: Any) -> Row:
    """An event of a webhook."""
    visitor = f"{whatsapp.USER_PREFIX}{customer}"
    fields = {"origin": whatsapp.ORIGIN, "user_id": visitor, "anonymous_id": ""}
    return _event(name, minutes, customer, members, fields)


def live_chat(name: str, minutes: float, customer: str = ANA, user_id: str | None = None, **members: Any) -> Row:
    """An event of an integrator's server; the whole name is `Live Chat …`."""
    fields = {"user_id": user_id, "anonymous_id": "" if user_id else f"crm-{customer}"}
    return _event(f"Live Chat {name}", minutes, customer, members, fields)


def _event(name: str, minutes: float, customer: str, members: Row, fields: Row) -> Row:
    at = T0 + round(minutes * MINUTE)
    properties = {"phone_number_id": NUMBER} | members
    identity = f"{name} {customer} {minutes} {json.dumps(properties)}"
    return raw_event(
        event_id=made_uuid(f"event {identity}"),
        message_id=made_uuid(identity),
        event_name=name,
        timestamp=at,
        received_at=at + 400,
        context=json.dumps({"channel_type": "whatsapp", "externalId": customer}),
        properties=json.dumps(properties),
        **fields,
    )


class Whole:
    """The operators of raw events and of signals, one behind the other."""

    def __init__(self, **settings: Any) -> None:
        self.desk = Desk(numbers(**settings))
        whole = self.desk.settings.by_project["p"]
        self.desk.settings.by_project = {PROJECTS[0]: whole}
        self._states = StateCache(FakeTable("sessions"), SessionStateCodec())
        self.chain = EventChain(
            *("raw", self._states, rules(), simple_lookups(), conversions(), IDS, lambda: 7),
            numbers=self.desk.settings,
        )
        self.outputs = Outputs()
        self.sessions: list[Outgoing] = []
        self._end = 0

    def take(self, events: Iterable[Row]) -> "Whole":
        """Process events as one chunk and one epoch."""
        found = list(events)
        places = range(self._end, self._end + len(found))
        self._end += len(found)
        values = [RAW.encode(event) for event in found]
        self.outputs = self.chain.process(Records([0] * len(found), places, [key_of(event) for event in found], values))
        self.sessions += self.chain.end_epoch().outputs.records.get("sessions", [])
        self.chain.confirm({})
        start = len(self.desk.told)
        self.desk.told += [(one["key"], one["value"]) for one in self.outputs.records.get("conversation_signals", [])]
        self.desk.work(start, len(self.desk.told))
        assert not self.desk.outputs.dead
        self.desk.end_epoch()
        return self

    def rows(self) -> list[Row]:
        """The living conversations."""
        found = self.desk.rows()
        assert {(row["tenant_id"], row["project_id"]) for row in found} <= {(TENANT, PROJECTS[0])}
        return found
