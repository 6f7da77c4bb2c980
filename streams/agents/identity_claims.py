"""identity_claims: claims settled into identities, over what is known of each visitor or handshake token."""

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from faust.types import TP

from schemas.codec import Codec, Invalid
from schemas.outcomes import DeadReason
from schemas.registry import SchemaIds
from streams.dead_letters import dead_letter
from streams.pipeline import Outputs
from streams.steps.decode import Records
from streams.steps.stitch import ClaimState, settle_handshake, settle_link, without_secrets
from streams.tables import Changes, Epoch, WriteBehindTable, changelog_topic

TABLE = "identities"
_PREFIX: Final = struct.Struct(">qq")  # as in streams.state: applied offset, then the time of the last claim
_HANDSHAKE_MARK: Final = "/h/"


class _Tracked(msgspec.Struct):
    applied: int
    touched_ms: int
    claims: ClaimState


class ClaimStateCodec:
    """Claim states as values of the table, with the prefix that restoring and eviction read."""

    _encoder: Final = msgspec.msgpack.Encoder()
    _decoder: Final = msgspec.msgpack.Decoder(ClaimState)

    def new(self) -> _Tracked:
        return _Tracked(-1, 0, ClaimState({}))

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
        table: WriteBehindTable,
        ids: SchemaIds,
        secrets: frozenset[str],
        links_max: int,
        now_ms: Callable[[], int],
    ) -> None:
        self.topic = topic
        self._table = table
        self._secrets = secrets
        self._links_max = links_max
        self._now_ms = now_ms
        self._claims = Codec("identity_claims", ids)
        self._identities = Codec("identities", ids)
        self._dead = Codec("dead_letters", ids)
        self._epoch: Epoch[_Tracked] = Epoch(lambda: table.store, ClaimStateCodec())

    def process(self, records: Records) -> Outputs:
        outputs = Outputs()
        batch, indexes, invalid = self._claims.decode_columns(records.values)
        for bad in invalid:
            self._bury(outputs, records, bad)
        for index, claim in zip(indexes, batch.to_pylist(), strict=True):
            key, offset = records.keys[index], records.offsets[index]
            if key is None:
                self._bury(outputs, records, Invalid(index, DeadReason.FIELD_INVALID, "the record has no key"))
                continue
            tracked = self._epoch.state_of(records.partitions[index], key)
            if offset <= tracked.applied:
                outputs.replayed += 1
                continue
            tracked.applied = offset
            self._settle(outputs, tracked, claim, Invalid(index, DeadReason.TOO_MANY_LINKS, ""), records)
        return outputs

    def _settle(
        self, outputs: Outputs, tracked: _Tracked, claim: dict[str, Any], otherwise: Invalid, records: Records
    ) -> None:
        claim["linked_ms"] = int(claim["linked_at"].timestamp() * 1000)
        tracked.touched_ms = max(tracked.touched_ms, claim["linked_ms"])
        if not (claim["anonymous_id"] and claim["user_id"]):
            tied = settle_handshake(tracked.claims, claim)
            if tied is not None:
                key = f"{tied['tenant_id']}/a/{tied['anonymous_id']}"
                value = self._claims.encode({name: tied[name] for name in self._claims.arrow_schema.names})
                outputs.add("identity_claims", [{"key": key.encode(), "value": value}])
            outputs.kept += 1
            return
        claim["traits"] = without_secrets(claim["traits"], self._secrets)
        if not settle_link(tracked.claims, claim, self._links_max):
            detail = f"the visitor is linked to {self._links_max} users already"
            self._bury(outputs, records, Invalid(otherwise.index, otherwise.reason, detail))
            return
        link = tracked.claims.links[claim["user_id"]]
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
        key = f"{claim['tenant_id']}/{claim['anonymous_id']}/{claim['user_id']}"
        outputs.add("identities", [{"key": key.encode(), "value": self._identities.encode(identity)}])
        outputs.kept += 1

    def bury(self, records: Records, detail: str) -> Outputs:
        outputs = Outputs()
        for index in range(len(records)):
            self._bury(outputs, records, Invalid(index, DeadReason.STEP_FAILED, detail))
        return outputs

    def _bury(self, outputs: Outputs, records: Records, bad: Invalid) -> None:
        letter = dead_letter(records, bad, self.topic, 0, self._now_ms())
        key = f"{letter['tenant_id']}/{letter['project_id']}"
        outputs.add("dead_letters", [{"value": self._dead.encode(letter), "key": key.encode()}])
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
