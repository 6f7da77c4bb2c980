"""`python -m streams run` of a release to come: its session states have a version and a field that this one has not."""

from typing import Final

import msgspec

from streams.__main__ import app
from streams.runtime.envelope import Bodies
from streams.sessions import state
from streams.sessions.layouts import READERS, VERSION, Body

NEXT_VERSION: Final = VERSION + 1
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[Body, str]).decode

if __name__ == "__main__":
    state._bodies = Bodies(  # type: ignore[misc]
        "sessions",
        NEXT_VERSION,
        lambda body: _encode((body, "what no release before it knows")),
        {**READERS, NEXT_VERSION: lambda packed: _decode(packed)[0]},
    )
    app()
