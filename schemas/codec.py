"""Records of a topic as bytes: the Confluent wire format, 0x00 + 4-byte big-endian schema id + Avro body.

`Codec` encodes and decodes one record at a time with fastavro; `schemas.column_codec` whole chunks. Kafka UIs, ksqlDB,
Kafka Connect and ClickHouse's AvroConfluent read the same bytes. As with all of them, what follows a whole record in
its bytes is ignored.
"""

import io
import struct
from collections.abc import Mapping
from typing import Any, Final

import fastavro

from schemas.outcomes import DeadReason
from schemas.registry import SchemaIds, SchemaUnknownError, current_schema

HEADER_BYTES: Final = 5
_HEADER: Final = struct.Struct(">bI")
_BITS: Final = {"int": 32, "long": 64}


class RecordInvalidError(ValueError):
    """The bytes are no record of the topic. `reason` is the bounded reason, str(error) the detail for people."""

    def __init__(self, reason: DeadReason, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class Codec:
    """Encodes and decodes the records of one topic.

    Writes today's schema. Reads every version: what an older writer lacked takes the field's default.
    """

    def __init__(self, topic: str, ids: SchemaIds) -> None:
        self.topic = topic
        self._ids = ids
        self._schema = fastavro.parse_schema(dict(current_schema(topic)))
        self.schema_id = ids.schema_id(topic)
        self.header = _HEADER.pack(0, self.schema_id)
        self._writers: dict[int, Mapping[str, Any]] = {}
        # Without dates: a number stays a number on its way from an old version to today's.
        self._undated = fastavro.parse_schema(_undated(current_schema(topic)))
        self._numbers = _numbers(current_schema(topic))

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
        return self._read(value, self._writer(_schema_id(value)), self._schema)

    def rewrite(self, value: bytes) -> bytes:
        """The body, in today's schema, of a record that was written with another version."""
        record = self._read(value, _undated(self._writer(_schema_id(value))), self._undated)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._undated, record)
        return out.getvalue()

    def _read(self, value: bytes, writer: Mapping[str, Any], reader: Mapping[str, Any]) -> dict[str, Any]:
        record = _read(value, writer, reader)
        for name, bits in self._numbers:
            number = record[name]
            # fastavro reads whatever number the bytes are; other readers refuse it or cut it to its last bits.
            if isinstance(number, int) and not -1 << bits - 1 <= number < 1 << bits - 1:
                raise RecordInvalidError(DeadReason.FIELD_INVALID, f"{name} is {number}, more than {bits} bits hold")
        return record

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


def _numbers(schema: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """The fields of whole numbers, or of them or null, and how many bits they have."""
    found = ((field["name"], _bits(field["type"])) for field in schema["fields"])
    return tuple((name, bits) for name, bits in found if bits)


def _bits(kind: Any) -> int:
    """0: no whole number."""
    if isinstance(kind, list):
        return max(_bits(branch) for branch in kind)
    return _bits(kind["type"]) if isinstance(kind, dict) else _BITS.get(kind, 0)


def _undated(schema: Any) -> Any:
    """The schema less its logical types."""
    if isinstance(schema, dict):
        return {name: _undated(value) for name, value in schema.items() if name != "logicalType"}
    return [_undated(item) for item in schema] if isinstance(schema, list) else schema
