"""identity_claims, whole: claims settled into identities, over what is known of each visitor or handshake token. Pure.

    every chunk:  records ─▶ decode ─▶ check ─┬▶ keyed by a visitor ─▶ settle a link ─▶ identities
                               │         │    └▶ keyed by a token ─┬▶ pair ─▶ identity_claims (keyed by visitors)
                               │         │           minted by us: └▶ judge ─▶ the same, and conversation_signals
                               ▼         ▼
                              dead_letters

Claims are few: one in ten events, usually one in hundreds; so they are taken one by one.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import pyarrow as pa

from schemas import keys
from schemas.codec import Codec
from schemas.column_codec import ColumnCodec, Invalid
from schemas.link_sources import CHAT, HANDSHAKE, UNLINK
from schemas.outcomes import DeadReason, HandshakeOutcome, Remark
from schemas.registry import SchemaIds
from schemas.whatsapp import LINKED, UNLINKED, USER_PREFIX
from streams.dead_letters import DeadLetters
from streams.identities.handshakes import pair_sides
from streams.identities.links import Settled, settle_link, take_back, without_secrets
from streams.identities.state import ClaimState, IdentityState
from streams.identities.tokens import Tied, is_minted, judge, never_minted
from streams.runtime.operator import (
    OUTPUT_BYTES_MAX,
    BadRecordsError,
    EpochEnd,
    HeldStates,
    Outputs,
    Reached,
    Records,
    too_large,
)

# Of a signal that tells no fact of a conversation.
_NO_FACT: Final[dict[str, Any]] = {
    **dict.fromkeys(("wa_id", "previous_customer", "sender", "trust", "ctwa_clid", "ad_id"), ""),
    **dict.fromkeys(("is_failed", "is_template", "is_standby"), False),
}


class ClaimChain:
    """The operator of identity_claims, over identity states.

    secrets: names of traits that are not kept, lower case; links_max: users that a visitor may be linked to;
    handshake_ms: how far apart two ids may be seen with one token and still be tied.
    """

    name = "identity_claims"
    table = "identities"

    def __init__(
        self,
        topic: str,
        states: HeldStates[IdentityState],
        ids: SchemaIds,
        secrets: frozenset[str],
        links_max: int,
        handshake_ms: int,
        generation: int,
        now_ms: Callable[[], int],
    ) -> None:
        self.topic = topic
        self._states = states
        self._secrets = secrets
        self._links_max = links_max
        self._handshake_ms = handshake_ms
        self._claims = ColumnCodec("identity_claims", ids)
        self._identities = Codec("identities", ids)
        self._signals = Codec("conversation_signals", ids)
        self._dead = DeadLetters(topic, generation, ids, now_ms)

    def process(self, records: Records) -> Outputs:
        """Settle the claims of a chunk."""
        outputs = Outputs()
        batch, indexes, invalid = self._claims.decode_columns(records.values)
        for bad in invalid:
            self._dead.add(outputs, records, bad, project_id="")
        for index, claim in zip(indexes, _to_rows(batch), strict=True):
            key, offset = records.keys[index], records.offsets[index]
            problem = _problem(key, claim)
            if key is None or problem:
                bad = Invalid(index, DeadReason.FIELD_INVALID, problem)
                self._dead.add(outputs, records, bad, claim["project_id"])
                continue
            state = self._states.state_of(records.partitions[index], key)
            if offset <= state.applied:
                outputs.replayed += 1
                continue
            state.applied = offset
            # Clients say when an event was, and a clock ahead would make every other state look old.
            appended_ms = records.appended_ms[index] if records.appended_ms else -1
            seen_ms = claim["linked_at"] if appended_ms < 0 else min(claim["linked_at"], appended_ms)
            state.active_ms = max(state.active_ms, seen_ms)
            take = self._settle
            if keys.is_of_handshake(key):
                take = self._judge if is_minted(claim) else self._pair
            try:
                take(outputs, state.claims, claim)
            except _TooLargeError as error:
                raise BadRecordsError([too_large(index, error.size, error.topic)]) from None
            outputs.kept += 1
        return outputs

    def _pair(self, outputs: Outputs, state: ClaimState, claim: dict[str, Any]) -> None:
        """Claims for the pairs that the ids of a claim, seen with a token, complete."""
        paired = pair_sides(state, claim, self._handshake_ms)
        if paired is None:
            outputs.remark(Remark.ID_SHARED, 1)
        for claim_of_pair in paired or ():
            key = keys.of_claim(claim_of_pair["tenant_id"], claim_of_pair["anonymous_id"])
            _add(outputs, "identity_claims", key, self._claims.encode(claim_of_pair))

    def _judge(self, outputs: Outputs, state: ClaimState, claim: dict[str, Any]) -> None:
        """What a token that the collector minted ties, or ties no more."""
        verdict = judge(state, claim)
        for outcome, count in verdict.outcomes.items():
            outputs.handshake(outcome, count)
        before, after = verdict.before, verdict.after
        if before is not None and (after is None or after.fact_id != before.fact_id):
            self._tell(outputs, claim, before, UNLINKED)
            if after is None or after.brought.customer != before.brought.customer:
                self._claim(outputs, claim, before, UNLINK, before.settled_ms)
        if after is not None and (before is None or after.fact_id != before.fact_id):
            self._tell(outputs, claim, after, LINKED)
            self._claim(outputs, claim, after, "", after.brought.at_ms)
            if not after.is_first:  # it may have been taken back meanwhile
                self._claim(outputs, claim, after, "", after.settled_ms)

    def _tell(self, outputs: Outputs, claim: Mapping[str, Any], tied: Tied, kind: str) -> None:
        """The signal to the conversation that holds the message."""
        brought = tied.brought
        signal = _NO_FACT | {
            **{name: claim[name] for name in ("source_offset", "source_partition", "source_generation", "tenant_id")},
            "project_id": brought.project_id,
            "phone_number_id": brought.phone_number_id,
            "customer": brought.customer,
            "kind": kind,
            "fact_id": tied.fact_id,
            "at": brought.at_ms,
            "received_at": brought.at_ms,
            "user_id": tied.minted.user_id,
            "handshake_token": claim["handshake_token"],
            "anonymous_id": tied.anonymous_id,
            "session_id": tied.minted.session_id,
        }
        key = keys.of_signal(claim["tenant_id"], brought.project_id, brought.phone_number_id)
        _add(outputs, "conversation_signals", key, self._signals.encode(signal))

    def _claim(self, outputs: Outputs, claim: Mapping[str, Any], tied: Tied, side: str, at_ms: int) -> None:
        """The claim, keyed by the visitor, that ties it to the customer at a time or takes that back."""
        made = dict(claim) | {
            **dict.fromkeys(("session_id", "phone_number_id", "customer", "fact_id"), ""),
            "project_id": tied.brought.project_id,
            "anonymous_id": tied.anonymous_id,
            "user_id": f"{USER_PREFIX}{tied.brought.customer}",
            "link_source": HANDSHAKE,
            "linked_at": at_ms,
            "traits": "{}",
            "handshake_side": side,
            "expires_at": None,
        }
        key = keys.of_claim(claim["tenant_id"], tied.anonymous_id)
        _add(outputs, "identity_claims", key, self._claims.encode(made))

    def _settle(self, outputs: Outputs, state: ClaimState, claim: dict[str, Any]) -> None:
        """The identity of a claim that knows both sides."""
        if claim["handshake_side"] == UNLINK:
            if not take_back(state, claim):
                return
        else:
            claim["traits"] = without_secrets(claim["traits"], self._secrets)
            settled = settle_link(state, claim, self._links_max)
            outputs.remark(Remark.ID_SHARED, settled is Settled.SHARED)
            outputs.remark(Remark.TRAITS_CUT, settled is Settled.WITHOUT_TRAITS)
            if settled is Settled.SHARED:
                return
        link = state.links[claim["user_id"]]
        identity = {
            "tenant_id": claim["tenant_id"],
            "anonymous_id": claim["anonymous_id"],
            "user_id": claim["user_id"],
            "linked_at": max(link.linked_ms, link.deleted_ms),
            "link_source": link.link_source,
            "traits": link.traits,
            "is_deleted": link.deleted_ms > link.linked_ms,
            "first_linked_at": link.first_linked_ms,
        }
        key = keys.of_identity(claim["tenant_id"], claim["anonymous_id"], claim["user_id"])
        _add(outputs, "identities", key, self._identities.encode(identity))

    def is_due(self) -> bool:
        """Nothing comes of time alone."""
        return False

    def end_epoch(self) -> EpochEnd:
        """The changed states. Nothing is published; of tokens that leave is known only now whether they were minted."""
        outputs, changes = Outputs(), self._states.end_epoch()
        for partition, gone in changes.gone.items():
            for key in filter(keys.is_of_handshake, gone):
                if (state := self._states.peek(partition, key)) is not None:
                    outputs.handshake(HandshakeOutcome.UNKNOWN, never_minted(state.claims))
        return EpochEnd(outputs, changes)

    def dead_letters(self, records: Records, bad: Iterable[Invalid]) -> Outputs:
        """The dead letters of some of the records; their keys name no project."""
        return self._dead.of(records, bad, project_id="")

    def confirm(self, reached: Reached) -> None:
        self._states.confirm(reached)

    def rollback(self) -> None:
        self._states.rollback()


class _TooLargeError(Exception):
    """No message could hold what comes of a claim."""

    def __init__(self, topic: str, size: int) -> None:
        self.topic = topic
        self.size = size
        super().__init__(topic, size)


def _add(outputs: Outputs, topic: str, key: bytes, value: bytes) -> None:
    if len(key) + len(value) > OUTPUT_BYTES_MAX:
        raise _TooLargeError(topic, len(key) + len(value))
    outputs.add(topic, [{"key": key, "value": value}])


def _to_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The claims, times in ms."""
    for name in ("linked_at", "expires_at"):
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, batch.column(place).cast(pa.int64()))
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def _problem(key: bytes | None, claim: Mapping[str, Any]) -> str:
    """What is wrong with a claim; '' when nothing is."""
    if key is None:
        return "the record has no key"
    if not (claim["anonymous_id"] or claim["user_id"]):
        return "neither a visitor nor a user is named"
    if keys.is_of_handshake(key):
        if not claim["handshake_token"]:
            return "the key is a handshake token's, and the claim names none"
        if claim["handshake_side"] == CHAT and not (
            claim["customer"] and claim["phone_number_id"] and claim["fact_id"]
        ):
            return "a message that brought a token has a customer, a business number and an id"
        return ""
    if not (claim["anonymous_id"] and claim["user_id"]):
        return "one side is missing, and the key is not that of a handshake token to find it by"
    return ""
