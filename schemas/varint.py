"""Avro's int and long: zig-zag, so that small numbers of either sign are short, then seven bits a byte, lowest first.

For what writes or reads a few fields of records by hand. Columns of them are read in `sinks.batching.headers`, which
needs NumPy, and in the database by `dead_letters.sql`; tests hold all of them to fastavro. Pure.
"""

from typing import Final

BYTES_MAX: Final = 10  # of 64 bits


def encode(number: int) -> bytes:
    """A long of 64 bits, as bytes."""
    return encode_unsigned(number << 1 ^ number >> 63)


def encode_unsigned(number: int) -> bytes:
    """Seven bits a byte without zig-zag, which is no type of Avro's but a part of one."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode(data: bytes, start: int = 0) -> tuple[int, int]:
    """The long that begins at `start`, and where it ends. Raises IndexError when the bytes end before it does."""
    folded = shift = 0
    while (byte := data[start]) > 0x7F:
        folded |= (byte & 0x7F) << shift
        shift += 7
        start += 1
    folded |= byte << shift
    return folded >> 1 ^ -(folded & 1), start + 1
