"""identity_claims: claims settled into identities, over what is known of each visitor or handshake token."""

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa
from faust.types import TP

from schemas import keys
from schemas.codec import Codec
from schemas.column_codec import ColumnCodec, Invalid
from schemas.outcomes import DeadReason
from schemas.registry import SchemaIds
from streams.dead_letters import dead_letter
from streams.events.chain import Outputs
from streams.events.decode import Records
from streams.identities.handshakes import settle_handshake
from streams.identities.links import settle_link, without_secrets
from streams.identities.state import ClaimState, new_claims
from streams.runtime.tables import Changes, Epoch, StateTable, changelog_topic

TABLE = "identities"
_PREFIX: Final = struct.Struct(">qq")  # as in streams.sessions.state: applied offset, then the time of the last claim


class _Tracked(msgspec.Struct):
    applied: int
    touched_ms: int
    claims: ClaimState


class ClaimStateCodec:
    """Claim states as values of the table, with the prefix that restoring and eviction read."""

    _encoder: Final = msgspec.msgpack.Encoder()
    _decoder: Final = msgspec.msgpack.Decoder(ClaimState)

    def new(self) -> _Tracked:
        return _Tracked(-1, 0, new_claims())

    def encode(self, state: _Tracked) -> bytes:
        return _PREFIX.pack(state.applied, state.touched_ms) + self._encoder.encode(state.claims)

    def decode(self, value: bytes) -> _Tracked:
        applied, touched_ms = _PREFIX.unpack_from(value)
        return _Tracked(applied, touched_ms, self._decoder.decode(memoryview(value)[_PREFIX.size :]))


class IdentityClaims:
    """What is done with chunks of identity_claims. Claims are few: one in ten events, usually one in hundreds."""

    name = "identity_claims"
    table = TABLE

    def __init__(
        self,
        topic: str,
        table: StateTable,
        ids: SchemaIds,
        secrets: frozenset[str],
        links_max: int,
        generation: int,
        now_ms: Callable[[], int],
    ) -> None:
        self.topic = topic
        self._table = table
        self._secrets = secrets
        self._links_max = links_max
        self._generation = generation
        self._now_ms = now_ms
        self._claims = ColumnCodec("identity_claims", ids)
        self._identities = Codec("identities", ids)
        self._dead = Codec("dead_letters", ids)
        self._epoch: Epoch[_Tracked] = Epoch(lambda: table.store, ClaimStateCodec())

    def process(self, records: Records) -> Outputs:
        outputs = Outputs()
        batch, indexes, invalid = self._claims.decode_columns(records.values)
        for bad in invalid:
            self._bury(outputs, records, bad)
        for index, claim in zip(indexes, _to_rows(batch), strict=True):
            key, offset = records.keys[index], records.offsets[index]
            problem = _problem(key, claim)
            if key is None or problem:
                self._bury(outputs, records, Invalid(index, DeadReason.FIELD_INVALID, problem), claim)
                continue
            tracked = self._epoch.state_of(records.partitions[index], key)
            if offset <= tracked.applied:
                outputs.replayed += 1
                continue
            tracked.applied = offset
            tracked.touched_ms = max(tracked.touched_ms, claim["linked_at"])
            settle = self._settle if claim["anonymous_id"] and claim["user_id"] else self._shake_hands
            refusal = settle(outputs, tracked.claims, claim)
            if refusal:
                self._bury(outputs, records, Invalid(index, DeadReason.TOO_MANY_LINKS, refusal), claim)
            else:
                outputs.kept += 1
        return outputs

    def _shake_hands(self, outputs: Outputs, state: ClaimState, claim: dict[str, Any]) -> str:
        """Claims for the pairs that a claim of one side completes; why it is refused, '' when it is not."""
        tied = settle_handshake(state, claim)
        if tied is None:
            return "too many ids were seen with the handshake token already"
        for claim_of_pair in tied:
            key = keys.of_claim(claim_of_pair["tenant_id"], claim_of_pair["anonymous_id"])
            outputs.add("identity_claims", [{"key": key, "value": self._claims.encode(claim_of_pair)}])
        return ""

    def _settle(self, outputs: Outputs, state: ClaimState, claim: dict[str, Any]) -> str:
        """The identity of a claim that knows both sides; why it is refused, '' when it is not."""
        claim["traits"] = without_secrets(claim["traits"], self._secrets)
        if not settle_link(state, claim, self._links_max):
            return f"the visitor is linked to {len(state.links)} users, and there is no room for more"
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
        outputs.add("identities", [{"key": key, "value": self._identities.encode(identity)}])
        return ""

    def bury(self, records: Records, detail: str) -> Outputs:
        outputs = Outputs()
        for index in range(len(records)):
            self._bury(outputs, records, Invalid(index, DeadReason.STEP_FAILED, detail))
        return outputs

    def _bury(self, outputs: Outputs, records: Records, bad: Invalid, claim: Mapping[str, Any] | None = None) -> None:
        letter = dead_letter(records, bad, self.topic, self._generation, self._now_ms())
        # The key names the tenant and no project.
        letter["project_id"] = "" if claim is None else claim["project_id"]
        key = keys.of_dead_letter(letter["tenant_id"], letter["project_id"])
        outputs.add("dead_letters", [{"value": self._dead.encode(letter), "key": key}])
        outputs.dead[bad.reason] = outputs.dead.get(bad.reason, 0) + 1

    def closing(self) -> Outputs:
        return Outputs()

    def changelog(self) -> str:
        return changelog_topic(self._table)

    def changes(self) -> Changes:
        return self._epoch.changes()

    def settle(self, changes: Changes, reached: Mapping[TP, int]) -> None:
        self._epoch.settle(changes, reached)

    def abandon(self) -> None:
        self._epoch.abandon()


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
    if not (claim["handshake_token"] or (claim["anonymous_id"] and claim["user_id"])):
        return "one side is missing, and there is no handshake token to find it by"
    return ""
