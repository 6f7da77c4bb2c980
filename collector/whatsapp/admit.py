"""Which items of a webhook become events, of which projects, and which are refused and why. Pure.

Every item is judged alone. Accepted items are events, repeats or dead letters: none is lost, none answered with a 4xx.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from collector.events.admit import RawEvent
from collector.events.arrival import KeptArrival
from collector.events.event import Refused
from collector.events.event_ids import EventIds
from collector.events.parse import is_utf8
from collector.events.refuse import RefusedEvent, assign_dead_letter_ids
from collector.projects.directory import NOBODY, Owner
from collector.projects.numbers import Numbered, Numbers
from collector.whatsapp.event import Bound, TenantKeys, event_of, sought_token
from collector.whatsapp.items import IgnoredError, Said, contact_of, read_item
from collector.whatsapp.webhook import Item, Kind, body_of, split
from schemas.dead_letters import BYTES_MAX, DETAIL_CHARS_MAX
from schemas.outcomes import DeadReason

EVENT: Final = "event"
DEAD: Final = "dead"
IGNORED: Final = "ignored"  # of a type that tells nothing, or a status that the project does not want
UNREAD: Final = "unread"  # a change of a field that nobody reads
_FAILED: Final = "failed"
FOUND: Final = "found"
INVALID: Final = "invalid"


class Keyring(Protocol):
    """The keys of tenants."""

    def of_tenant(self, tenant_id: str) -> TenantKeys:
        """Those of one."""


@dataclass(slots=True)
class Admitted:
    """What became of a body's items.

    admitted: each with its project. refused: each with its owner. outcomes: by field and outcome. tokens: by number and
    whether they were found or wrong. oldest_ms: the time of the oldest event; None without one.
    """

    admitted: list[tuple[RawEvent, Numbered]] = field(default_factory=list)
    refused: list[tuple[RefusedEvent, Owner]] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)
    oldest_ms: int | None = None


class Judge:
    """Judges bodies. ids: of events; bound: of each."""

    def __init__(self, numbers: Numbers, keyring: Keyring, ids: EventIds, bound: Bound) -> None:
        self._numbers = numbers
        self._keyring = keyring
        self._ids = ids
        self._bound = bound

    def admit(self, body: bytes, app: str, received_at: int, replay_of: str = "") -> Admitted:
        """Judge every item of an app's body. Raises MalformedError when it is no JSON, and IdsSecretMissingError."""
        found = split(body)
        result = Admitted()
        result.outcomes.update({(name, UNREAD): count for name, count in found.others.items()})
        is_ascii = body.isascii()
        for item, event_id in zip(found.items, self._ids.take(received_at, len(found.items)), strict=True):
            owner = None if item.kind is Kind.BROKEN else self._numbers.find(app, item.change.number)
            try:
                if not is_ascii and not is_utf8(item.raw):
                    raise Refused(DeadReason.WHATSAPP_ITEM_INVALID, "the item is not UTF-8")
                said = _read(item)
                if owner is None:
                    what = f"no enabled project has the number {item.change.number!r} with the app {app!r}"
                    raise Refused(DeadReason.PHONE_NUMBER_UNKNOWN, what)
                self._take(result, said, item, owner, received_at, event_id, replay_of)
                outcome = EVENT
            except IgnoredError:
                outcome = IGNORED
            except Refused as refusal:
                outcome = DEAD
                whose = NOBODY if owner is None else owner.project
                result.refused.append((_refused(item, refusal, app, received_at), whose))
            result.outcomes[item.change.field, outcome] += 1
        _give_ids(result.refused)
        return result

    def _take(
        self,
        result: Admitted,
        said: Said,
        item: Item,
        owner: Numbered,
        received_at: int,
        event_id: str,
        replay_of: str,
    ) -> None:
        if said.status and owner.settings.status_events == _FAILED and said.status != _FAILED:
            raise IgnoredError
        keys = self._keyring.of_tenant(owner.project.tenant_id)
        sought = sought_token(said, keys)
        event = event_of(said, item, owner, keys, sought.token, received_at, event_id, self._bound, replay_of)
        result.admitted.append((event, owner))
        if sought.token or sought.is_wrong:
            result.tokens[item.change.number, FOUND if sought.token else INVALID] += 1
        if said.at_s is not None:
            at = said.at_s * 1000
            result.oldest_ms = at if result.oldest_ms is None else min(at, result.oldest_ms)


def _read(item: Item) -> Said:
    try:
        return read_item(item)
    except ValueError as error:
        raise Refused(DeadReason.WHATSAPP_ITEM_INVALID, str(error)) from None


def _refused(item: Item, refusal: Refused, app: str, received_at: int) -> RefusedEvent:
    """Its payload is a webhook's body with that item alone, so that it can be taken again."""
    payload, detail = body_of(item, None if item.kind is Kind.BROKEN else contact_of(item)), refusal.detail
    if len(payload) > BYTES_MAX:
        # No message could hold it, and Kafka would refuse it for ever.
        payload, detail = payload[:BYTES_MAX], f"payload cut from {len(payload)} to {BYTES_MAX} bytes; {detail}"
    kept = msgspec.json.encode(KeptArrival(received_at, whatsapp_app=app))
    return RefusedEvent("", refusal.reason, detail[:DETAIL_CHARS_MAX], payload, "", received_at, kept)


def _give_ids(refused: list[tuple[RefusedEvent, Owner]]) -> None:
    owners = {owner.project_id: owner for _, owner in refused}
    for project_id, owner in owners.items():
        assign_dead_letter_ids([event for event, whose in refused if whose.project_id == project_id], owner)
