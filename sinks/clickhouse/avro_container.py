"""Framed records as one Avro object container, without decoding any of them."""

import hashlib
from collections.abc import Sequence
from typing import Final

from schemas import varint
from schemas.codec import HEADER_BYTES

_MAGIC: Final = b"Obj\x01"
_SYNC_BYTES: Final = 16


def container(schema_json: bytes, values: Sequence[bytes]) -> list[bytes]:
    """The container's bytes in pieces: one block with the bodies of `values`, which are framed records of one schema.

    The sync marker follows from the schema, so that the same records make the same bytes.
    """
    sync = hashlib.blake2b(schema_json, digest_size=_SYNC_BYTES).digest()
    body = b"".join([value[HEADER_BYTES:] for value in values])
    metadata = _bytes(b"avro.schema") + _bytes(schema_json) + _bytes(b"avro.codec") + _bytes(b"null")
    head = _MAGIC + varint.encode(2) + metadata + varint.encode(0) + sync
    return [head + varint.encode(len(values)) + varint.encode(len(body)), body, sync]


def _bytes(text: bytes) -> bytes:
    return varint.encode(len(text)) + text
