"""The layouts that the bodies of session states had, and what each of them is today. Pure.

A layout is never changed once a release has written it. A change is a new version: what `Slice` or `Body` was until
then comes here under a name of its own, with a reader in `READERS`, and the bytes that its release wrote stay readable
for ever (`tests/streams/released_states.py` has some of each). Fields that a layout does not know are refused: to drop
what a newer release remembers would be silent loss.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from streams.runtime.envelope import UNVERSIONED
from streams.sessions.slices import Slice, new_slice

VERSION: Final = 2


class Body(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """What stands behind the envelope: members of `SessionState`."""

    newest_at: int
    seen: bytes
    slices: list[Slice]
    born_ms: int = 0
    late_round: int = 0


class _SliceOfFirstTouches(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """A slice of the first layout: seven facts of its first event, whether it had them or not.

    Its seventh member is an array where that of `Slice` is text, so neither is ever read as the other.
    """

    cell: int
    first_at: int
    last_at: int
    events: int
    pages: int
    bots: int
    first_touch: tuple[str, str | None, str | None, str | None, str, str, str]
    anonymous_at: int
    anonymous_id: str
    entry_at: int
    entry_page: str
    exit_at: int
    exit_page: str
    conversion_at: int
    conversion_event: str | None
    user_at: int
    user_id: str | None
    session_id: str = ""

    def now(self) -> Slice:
        """The same in the layout of today: what the first event had is dated by it."""
        piece = new_slice(self.cell)
        for name in _KEPT:
            setattr(piece, name, getattr(self, name))
        referrer, source, medium, campaign, piece.device_type, piece.country_code, piece.channel_type = self.first_touch
        piece.referrer, piece.utm_source, piece.utm_medium, piece.utm_campaign = referrer, source, medium, campaign
        at = self.first_at
        piece.referrer_at = at if referrer or self.entry_at == at else 0
        piece.campaign_at = at if source or medium or campaign else 0
        piece.device_at = at if piece.device_type else 0
        piece.country_at = at if piece.country_code else 0
        return piece


_KEPT: Final = tuple(name for name in _SliceOfFirstTouches.__struct_fields__ if name != "first_touch")


class _BodyOfFirstTouches(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    newest_at: int
    seen: bytes
    slices: list[_SliceOfFirstTouches]


_decoder: Final = msgspec.msgpack.Decoder(Body)
_decoder_of_first_touches: Final = msgspec.msgpack.Decoder(_BodyOfFirstTouches)


def _read_unversioned(packed: bytes) -> Body:
    """Two layouts were written before there were versions; the later one also without `Slice.had`."""
    try:
        return _decoder.decode(packed)
    except msgspec.ValidationError:
        old = _decoder_of_first_touches.decode(packed)
        return Body(old.newest_at, old.seen, [piece.now() for piece in old.slices])


READERS: Final[Mapping[int, Callable[[bytes], Body]]] = {
    UNVERSIONED: _read_unversioned,
    1: _decoder.decode,  # had nothing behind the slices, and no `ceased_id` in them
    2: _decoder.decode,
}
