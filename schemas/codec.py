"""Records of a topic as bytes: the Confluent wire format, 0x00 + 4-byte big-endian schema id + Avro body.

`Codec` encodes and decodes one record at a time with fastavro (the reference), `encode_columns` and `decode_columns`
whole chunks through Arrow. Kafka UIs, ksqlDB, Kafka Connect and ClickHouse's AvroConfluent read the same bytes.
"""

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import fastavro
import orjson
import pyarrow as pa
import pyruhvro

from schemas.outcomes import DeadReason
from schemas.registry import SchemaIds, SchemaUnknownError, current_schema, without_docs

HEADER_BYTES: Final = 5
_HEADER: Final = struct.Struct(">bI")


class RecordInvalidError(ValueError):
    """The bytes are no record of the topic. `reason` is the bounded reason, str(error) the detail for people."""

    def __init__(self, reason: DeadReason, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Invalid:
    """A record of a chunk that cannot be decoded: its index in the chunk, the reason, the detail."""

    index: int
    reason: DeadReason
    detail: str


class Codec:
    """Encodes and decodes the records of one topic.

    Writes today's schema. Reads every version: what an older writer lacked takes the field's default.
    """

    def __init__(self, topic: str, ids: SchemaIds) -> None:
        self.topic = topic
        self._ids = ids
        self._schema = fastavro.parse_schema(dict(current_schema(topic)))
        self._json = orjson.dumps(without_docs(current_schema(topic))).decode()
        self.schema_id = ids.schema_id(topic)
        self.header = _HEADER.pack(0, self.schema_id)
        self.arrow_schema: pa.Schema = pyruhvro.avro_to_arrow_schema(self._json)
        self._writers: dict[int, Mapping[str, Any]] = {}

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """One record, framed. Raises ValueError or TypeError when it does not fit the schema."""
        out = io.BytesIO()
        out.write(self.header)
        fastavro.schemaless_writer(out, self._schema, record)
        return out.getvalue()

    def decode(self, value: bytes) -> dict[str, Any]:
        """One framed record. Raises RecordInvalidError."""
        schema_id = _schema_id(value)
        writer = self._writer(schema_id)
        body = io.BytesIO(value)
        body.seek(HEADER_BYTES)
        try:
            record: dict[str, Any] = fastavro.schemaless_reader(body, writer, self._schema)
        except UnicodeDecodeError as error:
            raise RecordInvalidError(DeadReason.INVALID_UTF8, str(error)) from None
        except Exception as error:  # fastavro has no exception of its own for bytes that are not Avro
            raise RecordInvalidError(DeadReason.NOT_AVRO, f"{type(error).__name__}: {error}") from None
        return record

    def encode_columns(self, batch: pa.RecordBatch) -> list[bytes]:
        """The rows of a batch, framed; columns must be those of `arrow_schema`, in its order."""
        header = self.header
        (encoded,) = pyruhvro.serialize_record_batch(batch, self._json, 1)
        return [header + body for body in encoded.to_pylist()]

    def decode_columns(self, values: Sequence[bytes | None]) -> tuple[pa.RecordBatch, list[int], list[Invalid]]:
        """Decode a chunk: (rows, for each row its index in `values`, the records that are not among the rows).

        Rows stand in the order of `values`. One bad record costs nothing but itself.
        """
        header = self.header
        if all(value is not None and value[:HEADER_BYTES] == header for value in values):
            try:
                batch = pyruhvro.deserialize_array([value[HEADER_BYTES:] for value in values if value], self._json)
                batch.validate(full=True)  # pyruhvro lets invalid UTF-8 through
                return batch, list(range(len(values))), []
            except (ValueError, pa.ArrowInvalid):
                pass  # at least one is bad: find out which, one at a time
        return self._decode_one_by_one(values)

    def _decode_one_by_one(self, values: Sequence[bytes | None]) -> tuple[pa.RecordBatch, list[int], list[Invalid]]:
        bodies: list[bytes] = []
        indexes: list[int] = []
        invalid: list[Invalid] = []
        for index, value in enumerate(values):
            try:
                if value is None:
                    raise RecordInvalidError(DeadReason.NOT_AVRO, "the record has no value")
                record = self.decode(value)
                bodies.append(self.encode(record)[HEADER_BYTES:])
                indexes.append(index)
            except RecordInvalidError as error:
                invalid.append(Invalid(index, error.reason, str(error)))
        batch = (
            pyruhvro.deserialize_array(bodies, self._json)
            if bodies
            else pa.RecordBatch.from_pylist([], self.arrow_schema)
        )
        return batch, indexes, invalid

    def _writer(self, schema_id: int) -> Mapping[str, Any]:
        writer = self._writers.get(schema_id)
        if writer is None:
            try:
                writer = fastavro.parse_schema(dict(self._ids.schema(schema_id)))
            except SchemaUnknownError as error:
                raise RecordInvalidError(DeadReason.SCHEMA_ID_UNKNOWN, str(error)) from None
            assert writer is not None
            if writer["name"] != self._schema["name"]:
                raise RecordInvalidError(
                    DeadReason.SCHEMA_MISMATCH, f"schema {schema_id} is {writer['name']}, topic {self.topic}"
                )
            self._writers[schema_id] = writer
        return writer


def _schema_id(value: bytes) -> int:
    if len(value) < HEADER_BYTES or value[0] != 0:
        raise RecordInvalidError(DeadReason.NOT_AVRO, f"{len(value)} bytes without the 5-byte schema header")
    schema_id: int = _HEADER.unpack_from(value)[1]
    return schema_id
