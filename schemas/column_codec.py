"""Whole chunks of records through Arrow; the same bytes as `schemas.codec`, which is the reference.

Apart from it, since Arrow is a fifth of a second at the start of a process that handles one record at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro

from schemas.codec import HEADER_BYTES, Codec, RecordInvalidError
from schemas.outcomes import DeadReason
from schemas.registry import SchemaIds, current_schema, without_docs


@dataclass(frozen=True, slots=True)
class Invalid:
    """A record of a chunk that cannot be decoded: its index in the chunk, the reason, the detail."""

    index: int
    reason: DeadReason
    detail: str


class ColumnCodec(Codec):
    """A `Codec` that also encodes and decodes chunks.

    For topics without a field of bytes (all but dead_letters): pyruhvro does not know that type.
    """

    def __init__(self, topic: str, ids: SchemaIds) -> None:
        super().__init__(topic, ids)
        self._json = orjson.dumps(without_docs(current_schema(topic))).decode()
        self.arrow_schema: pa.Schema = pyruhvro.avro_to_arrow_schema(self._json)
        self._empty = pa.RecordBatch.from_pylist([], self.arrow_schema)

    def encode_columns(self, batch: pa.RecordBatch) -> list[bytes]:
        """The rows of a batch, framed; columns must be those of `arrow_schema`, in its order."""
        # Of the two functions this one wakes no runtime's workers for its one part.
        (encoded,) = pyruhvro.serialize_record_batch_spawn(batch, self._json, 1)
        framed: list[bytes] = pc.binary_join_element_wise(self.header, encoded, b"").to_pylist()
        return framed

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
        # Nearly every chunk is all of today's schema.
        bodies = [value[HEADER_BYTES:] for value in values if value is not None and value.startswith(header)]
        if len(bodies) == len(values):
            return bodies, list(range(len(values)))
        bodies = []
        indexes: list[int] = []
        for index, value in enumerate(values):
            try:
                if value is None:
                    raise RecordInvalidError(DeadReason.NOT_AVRO, "the record has no value")
                bodies.append(value[HEADER_BYTES:] if value[:HEADER_BYTES] == header else self.rewrite(value))
                indexes.append(index)
            except RecordInvalidError as error:
                invalid.append(Invalid(index, error.reason, str(error)))
        return bodies, indexes

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
