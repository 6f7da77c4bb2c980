"""The deduplication id of an event: the client's messageId as a UUID. The one mapping for all who ask for an event."""

import hashlib
import re
import uuid
from typing import Final

CANONICAL_UUID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""What `canonical_uuid` gives; a regular expression."""

_UUID_CHARS: Final = 36
_IS_UUID: Final = re.compile(CANONICAL_UUID, re.ASCII | re.IGNORECASE).fullmatch
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def canonical_uuid(text: str) -> str | None:
    """The text in lower case when it is a UUID written with dashes, else None."""
    return text.lower() if len(text) == _UUID_CHARS and _IS_UUID(text) else None


class MessageIds:
    """Maps the messageIds of one project; the same text gives the same id for ever."""

    def __init__(self, project_id: str) -> None:
        self._seed = hashlib.sha1(uuid.UUID(project_id).bytes, usedforsecurity=False)

    def __call__(self, client_message_id: str) -> str:
        """The id itself when it is a UUID, else UUIDv5(project_id, client_message_id); 36 lower-case characters."""
        if len(client_message_id) == _UUID_CHARS and _IS_UUID(client_message_id):
            return client_message_id.lower()
        digest = self._seed.copy()
        digest.update(client_message_id.encode())
        text = digest.hexdigest()
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"
