"""Customers' ids and message ids as hashes, for projects whose settings say `"ids": "hashed"`. Pure.

Keyed by tenant: the same customer is the same in a tenant's projects, and nobody without the secret can try out phone
numbers. Message ids are hashed too: WhatsApp's hold the customer's phone number in base64.
"""

import hmac
import re
from typing import Final

from schemas.whatsapp import customer_id

_DIGEST_CHARS: Final = 32  # 128 bits, and never digits alone: that would be a phone number
_COUNTRY: Final = re.compile(r"([A-Z]{2})\.")


def ids_key(secret: bytes, tenant_id: str) -> bytes:
    """The key of a tenant's ids."""
    return hmac.digest(secret, b"tally-whatsapp-ids-v1:" + tenant_id.encode(), "sha256")


def hashed_id(key: bytes, text: str) -> str:
    """An id's hash; '' stays ''. A phone number is the same with + and spaces; a user id keeps its country: `US.…`."""
    if not text:
        return ""
    plain = customer_id(text)
    digest = hmac.digest(key, plain.encode(), "sha256").hex()[:_DIGEST_CHARS]
    country = _COUNTRY.match(plain)
    return f"{country[1]}.h{digest}" if country else f"h{digest}"
