"""WhatsApp's way to Kafka: a webhook's body, or a wish for a handshake token, to records and their acknowledgement."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from collector.errors import Refusal, RefusedRequest
from collector.events.admit import Limits, RawEvent
from collector.events.arrival import Arrival, KeptArrival
from collector.events.event_ids import EventIds
from collector.events.parse import MalformedError
from collector.events.readmit import DeadLetter
from collector.events.session_key import visitor_of
from collector.kafka.encode import Encoders
from collector.kafka.publisher import Batches, OverloadedError, Publisher, Record, size_of
from collector.projects.directory import Project, ProjectDirectory
from collector.whatsapp.admit import Admitted, Judge
from collector.whatsapp.event import Bound, IdsSecretMissingError
from collector.whatsapp.keyring import keyring_of
from collector.whatsapp.mint import Minted, Wish, mint_for
from schemas import keys
from schemas.settings import Settings

_log: Final = structlog.get_logger()
_decode_arrival: Final = msgspec.json.Decoder(KeptArrival).decode


class PendingItems(msgspec.Struct, gc=False):
    """A webhook's items that wait for Kafka; delay_s: how old the oldest event was when it came, None without one."""

    durable: "asyncio.Future[bool] | None"
    admitted: int
    refused: Counter[str]
    body_bytes: int
    outcomes: Counter[tuple[str, str]]
    tokens: Counter[tuple[str, str]]
    received_at: int
    delay_s: float | None


class PendingToken(msgspec.Struct, gc=False):
    """A token whose event waits for Kafka."""

    durable: "asyncio.Future[bool]"
    minted: Minted


class WhatsAppIngest:
    """Takes webhooks and wishes to Kafka. `clock` gives seconds since 1970."""

    def __init__(
        self,
        settings: Settings,
        *,
        directory: ProjectDirectory,
        publisher: Publisher,
        encoders: Encoders,
        ids: EventIds,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._publisher = publisher
        self._encoders = encoders
        self._ids = ids
        self._limits = limits
        self._clock = clock
        self._keyring = keyring_of(settings)
        self._judge = Judge(directory.numbers, self._keyring, ids, Bound(limits.event_bytes_max, limits.times))
        self._raw_events = settings.topic("raw_events")
        self._dead_letters = settings.topic("dead_letters")

    def accept(self, app: str, body: bytes) -> PendingItems:
        """Publish what a signed body of an app holds, of all its projects together. Raises RefusedRequest."""
        received_at = int(self._clock() * 1000)
        try:
            found = self._judge.admit(body, app, received_at)
        except MalformedError as error:
            _log.warning("a signed webhook is no JSON", app=app, error=str(error))
            raise RefusedRequest(Refusal.MALFORMED, str(error)) from None
        except IdsSecretMissingError:
            _log.error("a project wants hashed ids: set TALLY_COLLECTOR_WHATSAPP_IDS_SECRET", app=app)
            raise RefusedRequest(Refusal.SECRET_MISSING) from None
        return PendingItems(
            self._publish(self.records(found)),
            len(found.admitted),
            Counter(str(event.reason) for event, _ in found.refused),
            len(body),
            found.outcomes,
            found.tokens,
            received_at,
            None if found.oldest_ms is None else max(0, received_at - found.oldest_ms) / 1000,
        )

    def take_again(self, dead_letter: DeadLetter) -> tuple[Batches, str]:
        """A dead letter of a webhook, judged again: its records, and "" or why it stays one."""
        came = _decode_arrival(dead_letter.arrival.encode())
        try:
            found = self._judge.admit(
                dead_letter.payload, came.whatsapp_app, came.received_at, dead_letter.dead_letter_id
            )
        except (MalformedError, IdsSecretMissingError) as error:
            return [], str(error) or "TALLY_COLLECTOR_WHATSAPP_IDS_SECRET is not set"
        return self.records(found), str(found.refused[0][0].reason) if found.refused else ""

    def mint(self, project: Project, wish: Wish, ip_address: str, user_agent: str) -> PendingToken:
        """Publish the event of a token. Raises RefusedRequest."""
        tokens = self._keyring.of_tenant(project.tenant_id).tokens
        if not tokens:
            raise RefusedRequest(Refusal.HANDSHAKES_OFF)
        arrival = Arrival(project, int(self._clock() * 1000), ip_address, user_agent)
        nobody = self._directory.placeholders(project.project_id)
        settings = self._directory.numbers.of_project(project)
        try:
            minted = mint_for(wish, settings, tokens[0], arrival, self._limits, self._ids, nobody)
        except MalformedError as error:
            raise RefusedRequest(Refusal.MALFORMED, str(error)) from None
        durable = self._publish([(self._raw_events, [self._record(minted.event, project.scope, nobody)])])
        assert durable is not None
        return PendingToken(durable, minted)

    def records(self, found: Admitted) -> Batches:
        """What is published of a body, by topic."""
        batches: Batches = []
        if found.admitted:
            nobody = frozenset[str]()
            events = [self._record(event, owner.project.scope, nobody) for event, owner in found.admitted]
            batches.append((self._raw_events, events))
        if found.refused:
            encode = self._encoders.dead_letters.encode
            dead: list[Record] = [
                {"key": owner.dead_letter_key, "value": encode(event, owner)} for event, owner in found.refused
            ]
            batches.append((self._dead_letters, dead))
        return batches

    def _record(self, event: RawEvent, scope: str, nobody: frozenset[str]) -> Record:
        visitor = visitor_of(event.anonymous_id, event.user_id, event.ip_address, event.user_agent, nobody)
        key = keys.of_raw_event(scope, visitor, event.client_session_id)
        return {"key": key, "value": self._encoders.raw_events.encode(event)}

    def _publish(self, batches: Batches) -> "asyncio.Future[bool] | None":
        if not batches:
            return None
        try:
            return self._publisher.publish(batches, size_of(batches))
        except OverloadedError:
            raise RefusedRequest(Refusal.OVERLOADED) from None


def is_of_webhook(dead_letter: DeadLetter) -> bool:
    """Whether a dead letter came by a webhook."""
    return bool(dead_letter.arrival) and bool(_decode_arrival(dead_letter.arrival.encode()).whatsapp_app)
