"""identity_claims, whole: claims settled into identities, over what is known of each visitor or handshake token. Pure.

    every chunk:  records ─▶ decode ─▶ check ─┬▶ keyed by a visitor ─▶ settle a link ─▶ identities
                               │         │    └▶ keyed by a token ─▶ pair ─▶ identity_claims (keyed by visitors)
                               ▼         ▼
                              dead_letters

Claims are few: one in ten events, usually one in hundreds; so they are taken one by one.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from schemas import keys
from schemas.codec import Codec
from schemas.column_codec import ColumnCodec, Invalid
from schemas.outcomes import DeadReason, Remark
from schemas.registry import SchemaIds
from streams.dead_letters import DeadLetters
from streams.identities.handshakes import pair_sides
from streams.identities.links import Settled, settle_link, without_secrets
from streams.identities.state import ClaimState, IdentityState
from streams.runtime.operator import (
    OUTPUT_BYTES_MAX,
    BadRecordsError,
    EpochEnd,
    Outputs,
    Reached,
    Records,
    States,
    too_large,
)


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
        states: States[IdentityState],
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
            take = self._pair if keys.is_of_handshake(key) else self._settle
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

    def _settle(self, outputs: Outputs, state: ClaimState, claim: dict[str, Any]) -> None:
        """The identity of a claim that knows both sides."""
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
            "linked_at": link.linked_ms,
            "link_source": link.link_source,
            "traits": link.traits,
            "is_deleted": False,
            "first_linked_at": link.first_linked_ms,
        }
        key = keys.of_identity(claim["tenant_id"], claim["anonymous_id"], claim["user_id"])
        _add(outputs, "identities", key, self._identities.encode(identity))

    def is_due(self) -> bool:
        """Nothing comes of time alone."""
        return False

    def end_epoch(self) -> EpochEnd:
        """Nothing is published at an epoch's end; the changed states."""
        return EpochEnd(Outputs(), self._states.end_epoch())

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
    """The claims, linked_at in ms."""
    place = batch.schema.get_field_index("linked_at")
    in_ms: pa.RecordBatch = batch.set_column(place, "linked_at", batch.column(place).cast(pa.int64()))
    rows: list[dict[str, Any]] = in_ms.to_pylist()
    return rows


def _problem(key: bytes | None, claim: Mapping[str, Any]) -> str:
    """What is wrong with a claim; '' when nothing is."""
    if key is None:
        return "the record has no key"
    if not (claim["anonymous_id"] or claim["user_id"]):
        return "neither a visitor nor a user is named"
    if keys.is_of_handshake(key):
        return "" if claim["handshake_token"] else "the key is a handshake token's, and the claim names none"
    if not (claim["anonymous_id"] and claim["user_id"]):
        return "one side is missing, and the key is not that of a handshake token to find it by"
    return ""
