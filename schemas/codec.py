"""Records of a topic as bytes: the Confluent wire format, 0x00 + 4-byte big-endian schema id + Avro body.

`Codec` encodes and decodes one record at a time with fastavro (the reference), `encode_columns` and `decode_columns`
whole chunks through Arrow. Kafka UIs, ksqlDB, Kafka Connect and ClickHouse's AvroConfluent read the same bytes. As
with all of them, what follows a whole record in its bytes is ignored.
"""

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
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
    Columns are for topics without a field of bytes (all but dead_letters): pyruhvro does not know that type.
    """

    def __init__(self, topic: str, ids: SchemaIds) -> None:
        self.topic = topic
        self._ids = ids
        self._schema = fastavro.parse_schema(dict(current_schema(topic)))
        self._json = orjson.dumps(without_docs(current_schema(topic))).decode()
        self.schema_id = ids.schema_id(topic)
        self.header = _HEADER.pack(0, self.schema_id)
        self.arrow_schema: pa.Schema = pyruhvro.avro_to_arrow_schema(self._json)
        self._empty = pa.RecordBatch.from_pylist([], self.arrow_schema)
        self._writers: dict[int, Mapping[str, Any]] = {}
        # Without dates: a number stays a number on its way from an old version to today's.
        self._undated = fastavro.parse_schema(_undated(current_schema(topic)))

    def knows(self, value: bytes) -> bool:
        """Whether `decode` needs to ask nobody for the schema of this record."""
        return value[:1] != b"\0" or len(value) < HEADER_BYTES or _schema_id(value) in self._writers

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """One record, framed. Raises ValueError or TypeError when it does not fit the schema."""
        out = io.BytesIO()
        out.write(self.header)
        fastavro.schemaless_writer(out, self._schema, record)
        return out.getvalue()

    def decode(self, value: bytes) -> dict[str, Any]:
        """One framed record. Raises RecordInvalidError."""
        return _read(value, self._writer(_schema_id(value)), self._schema)

    def encode_columns(self, batch: pa.RecordBatch) -> list[bytes]:
        """The rows of a batch, framed; columns must be those of `arrow_schema`, in its order."""
        header = self.header
        (encoded,) = pyruhvro.serialize_record_batch(batch, self._json, 1)
        return [header + body for body in encoded.to_pylist()]

    def decode_columns(self, values: Sequence[bytes | None]) -> tuple[pa.RecordBatch, list[int], list[Invalid]]:
        """Decode a chunk: (rows, for each row its index in `values`, the records that are not among the rows).

        Rows stand in the order of `values`. One bad record costs nothing but itself. A timestamp may be any 64-bit
        number of milliseconds here, while `decode` refuses those outside the years 1 to 9999.
        """
        invalid: list[Invalid] = []
        bodies, indexes = self._bodies(values, invalid)
        bad: list[tuple[int, DeadReason, str]] = []
        batches = list(self._batches(bodies, 0, len(bodies), bad))
        batch = batches[0] if len(batches) == 1 else pa.concat_batches([self._empty, *batches])
        if bad:
            invalid += [Invalid(indexes[place], reason, detail) for place, reason, detail in bad]
            left_out = {place for place, _, _ in bad}
            indexes = [index for place, index in enumerate(indexes) if place not in left_out]
        return batch, indexes, sorted(invalid, key=lambda record: record.index)

    def _bodies(self, values: Sequence[bytes | None], invalid: list[Invalid]) -> tuple[list[bytes], list[int]]:
        """The records in today's schema, without header, and their indexes. The others are added to `invalid`."""
        header = self.header
        bodies: list[bytes] = []
        indexes: list[int] = []
        for index, value in enumerate(values):
            try:
                if value is None:
                    raise RecordInvalidError(DeadReason.NOT_AVRO, "the record has no value")
                bodies.append(value[HEADER_BYTES:] if value[:HEADER_BYTES] == header else self._rewrite(value))
                indexes.append(index)
            except RecordInvalidError as error:
                invalid.append(Invalid(index, error.reason, str(error)))
        return bodies, indexes

    def _rewrite(self, value: bytes) -> bytes:
        """The body, in today's schema, of a record that was written with another version."""
        record = _read(value, _undated(self._writer(_schema_id(value))), self._undated)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._undated, record)
        return out.getvalue()

    def _batches(
        self, bodies: list[bytes], start: int, stop: int, bad: list[tuple[int, DeadReason, str]]
    ) -> Iterator[pa.RecordBatch]:
        """Rows of bodies[start:stop], halved until the bad ones are alone; those are added to `bad`."""
        if start == stop:
            return
        try:
            batch = pyruhvro.deserialize_array(bodies[start:stop], self._json)
            batch.validate(full=True)  # pyruhvro lets invalid UTF-8 through
            yield batch
        except ValueError as error:
            if stop - start > 1:
                middle = (start + stop) // 2
                yield from self._batches(bodies, start, middle, bad)
                yield from self._batches(bodies, middle, stop, bad)
            else:
                is_text = isinstance(error, pa.ArrowInvalid)
                bad.append((start, DeadReason.INVALID_UTF8 if is_text else DeadReason.NOT_AVRO, str(error)))

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


def _read(value: bytes, writer: Mapping[str, Any], reader: Mapping[str, Any]) -> dict[str, Any]:
    body = io.BytesIO(value)
    body.seek(HEADER_BYTES)
    try:
        record: dict[str, Any] = fastavro.schemaless_reader(body, writer, reader)
    except UnicodeDecodeError as error:
        raise RecordInvalidError(DeadReason.INVALID_UTF8, str(error)) from None
    except OverflowError as error:
        raise RecordInvalidError(DeadReason.FIELD_INVALID, f"a timestamp is no date: {error}") from None
    except Exception as error:  # fastavro has no exception of its own for bytes that are not Avro
        raise RecordInvalidError(DeadReason.NOT_AVRO, f"{type(error).__name__}: {error}") from None
    return record


def _undated(schema: Any) -> Any:
    """The schema less its logical types."""
    if isinstance(schema, dict):
        return {name: _undated(value) for name, value in schema.items() if name != "logicalType"}
    return [_undated(item) for item in schema] if isinstance(schema, list) else schema
