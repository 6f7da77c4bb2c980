"""What a worker is made of: which operator reads which topic, over which table. The one place that knows both sides."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from schemas import keys
from schemas.metrics import StreamsMetrics
from schemas.registry import SchemaIds
from schemas.settings import Settings
from schemas.whatsapp_settings import INACTIVITY_S_MAX, TOKEN_TTL_S_MAX
from streams.conversations.chain import ConversationChain
from streams.conversations.settings import BusinessNumbers
from streams.conversations.settle import KEPT_MS
from streams.conversations.state import ConversationStateCodec
from streams.events.chain import EventChain, Rules
from streams.events.claims import LoginEvents, PlaceholderIds
from streams.events.deduplicate import DedupRules
from streams.events.lookups import Lookups
from streams.identities.chain import ClaimChain
from streams.identities.state import IdentityStateCodec
from streams.runtime.app import App
from streams.runtime.eviction import Evictor
from streams.runtime.publisher import Publisher
from streams.sessions.chains import SessionRules
from streams.sessions.conversions import ConversionEvents
from streams.sessions.state import SessionStateCodec

_NAMES_KEPT_MS: Final = 90 * 86_400_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker is given: everything that talks to the world or to the clock."""

    ids: SchemaIds
    lookups: Lookups
    conversions: ConversionEvents
    outputs: Publisher
    changelogs: Publisher
    metrics: StreamsMetrics
    now_ms: Callable[[], int]
    placeholders: PlaceholderIds = field(default_factory=PlaceholderIds)
    numbers: BusinessNumbers = field(default_factory=BusinessNumbers)
    logins: LoginEvents = field(default_factory=LoginEvents)


def create_worker(settings: Settings, parts: Parts) -> App:
    """The worker, ready to be started. Builds no connection."""
    app = App(settings)
    silent_ms = settings.streams_dedup_window_s * 1000 + settings.streams_lateness_s_max * 1000
    ahead_ms = settings.streams_clock_ahead_s_max * 1000
    raw_events, identity_claims = settings.topic(EventChain.name), settings.topic(ClaimChain.name)
    signals = settings.topic(ConversationChain.name)

    def latest_ms() -> int:
        return parts.now_ms() + ahead_ms

    def evictor(topic: str, window_ms: int | Callable[[bytes], int]) -> Evictor:
        return Evictor(window_ms, latest_ms=latest_ms, committed=lambda partition: app.committed(topic, partition))

    events = EventChain(
        raw_events,
        app.open_states(EventChain.table, SessionStateCodec(), evictor(raw_events, silent_ms)),
        rules(settings),
        parts.lookups,
        parts.conversions,
        parts.ids,
        parts.now_ms,
        parts.placeholders,
        parts.numbers,
        parts.logins,
    )
    claims = ClaimChain(
        identity_claims,
        app.open_states(ClaimChain.table, IdentityStateCodec(), evictor(identity_claims, silence_of_claims(settings))),
        parts.ids,
        frozenset(filter(None, settings.streams_secret_traits.lower().split(","))),
        settings.streams_links_max,
        settings.streams_handshake_s_max * 1000,
        settings.streams_generation,
        parts.now_ms,
    )
    conversations = ConversationChain(
        signals,
        app.open_states(ConversationChain.table, ConversationStateCodec(), evictor(signals, silence_of_customers)),
        parts.numbers,
        parts.ids,
        settings.streams_generation,
        parts.now_ms,
    )
    app.hot_keys = events.hot_keys.top
    app.open_conversations = conversations.silences.open_by_state
    app.operate((events, claims, conversations), parts.outputs, parts.changelogs, parts.metrics)
    return app


def silence_of_claims(settings: Settings) -> Callable[[bytes], int]:
    """After how many ms without a claim the identity state of a key leaves.

    That of a handshake token once nothing can be tied by it any more, late claims included.
    """
    # A message with a token that was minted for a week may come eight days after it was sent.
    of_minted_ms = TOKEN_TTL_S_MAX * 1000 + KEPT_MS
    of_token_ms = max((settings.streams_handshake_s_max + settings.streams_lateness_s_max) * 1000, of_minted_ms)
    of_visitor_ms = max(settings.streams_identity_s_max * 1000, of_token_ms)
    return lambda key: of_token_ms if keys.is_of_handshake(key) else of_visitor_ms


def silence_of_customers(key: bytes) -> int:
    """After how many ms without a signal a state of conversations leaves.

    A customer's facts once none can be late and the last episode is long over; names so much later that a phone alone
    still finds who wrote last month.
    """
    return _NAMES_KEPT_MS if key.startswith(keys.OF_NAMES) else KEPT_MS + INACTIVITY_S_MAX * 1000


def rules(settings: Settings) -> Rules:
    """The rules of the steps, from the settings."""
    gap_ms = settings.streams_session_gap_s * 1000
    return Rules(
        dedup=DedupRules(settings.streams_dedup_window_s, settings.streams_seen_ids_max),
        sessions=SessionRules(
            gap_ms=gap_ms,
            lateness_ms=settings.streams_lateness_s_max * 1000,
            cells_max=max(1, settings.streams_session_s_max * 1000 // gap_ms),
            client_whole=settings.streams_session_client_whole,
            generation=settings.streams_generation,
        ),
        generation=settings.streams_generation,
        ahead_ms=settings.streams_clock_ahead_s_max * 1000,
    )
