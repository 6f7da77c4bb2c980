"""State values as the workers of each release wrote them, byte for byte, and what stands in them.

Nothing here is ever changed: a changelog may hold such bytes for ever. A new version of a layout adds its own, made by
its own encoder (`encode_state`, `IdentityStateCodec.encode`) from the same values. No two members hold the same value,
so that two fields that change places are seen.
"""

from typing import Any, Final

START_MS: Final = 1_795_000_000_000


def moment(number: int) -> int:
    """One of its own for each number."""
    return (START_MS + number) << 20 | number


# One slice of a session state with applied 77, active_ms START_MS + 1, newest_at moment(2), seen bytes 0 to 23.
SLICE: Final[dict[str, Any]] = {
    "cell": 997_222,
    "first_at": moment(1),
    "last_at": moment(2),
    "events": 23,
    "pages": 5,
    "bots": 4,
    "channel_type": "web",
    "anonymous_at": moment(3),
    "anonymous_id": "ann",
    "entry_at": moment(1),
    "entry_page": "/in",
    "exit_at": moment(6),
    "exit_page": "/out",
    "conversion_at": moment(7),
    "conversion_event": "Bought",
    "user_at": moment(8),
    "user_id": "user-7",
    "referrer_at": moment(9),
    "referrer": "https://r.example/",
    "campaign_at": moment(10),
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "campaign",
    "device_at": moment(11),
    "device_type": "mobile",
    "country_at": moment(12),
    "country_code": "NL",
    "session_id": "51a530be-0833-51bf-8372-7bfb6caeb098",
    "had": 0b10110111,
}

# In the first layout the facts have no moments of their own: they are those of the first event.
FIRST_TOUCHES: Final = bytes.fromhex(
    "000000000000004d000001a1ee565e0193cf1a1ee565e0200002c418000102030405060708090a0b0c0d0e0f101112131415"
    "161791dc0012ce000f3766cf1a1ee565e0100001cf1a1ee565e020000217050497b268747470733a2f2f722e6578616d706c"
    "652fa6736f75726365a66d656469756da863616d706169676ea66d6f62696c65a24e4ca3776562cf1a1ee565e0300003a361"
    "6e6ecf1a1ee565e0100001a32f696ecf1a1ee565e0600006a42f6f7574cf1a1ee565e0700007a6426f75676874cf1a1ee565"
    "e0800008a6757365722d37d92435316135333062652d303833332d353162662d383337322d376266623663616562303938"
)
FIRST_TOUCHES_SLICE: Final = SLICE | {
    "referrer_at": moment(1),
    "campaign_at": moment(1),
    "device_at": moment(1),
    "country_at": moment(1),
    "had": 0,
}

DATED_FACTS: Final = bytes.fromhex(
    "000000000000004d000001a1ee565e0193cf1a1ee565e0200002c418000102030405060708090a0b0c0d0e0f101112131415"
    "161791dc001cce000f3766cf1a1ee565e0100001cf1a1ee565e0200002170504a3776562cf1a1ee565e0300003a3616e6ecf"
    "1a1ee565e0100001a32f696ecf1a1ee565e0600006a42f6f7574cf1a1ee565e0700007a6426f75676874cf1a1ee565e08000"
    "08a6757365722d37cf1a1ee565e0900009b268747470733a2f2f722e6578616d706c652fcf1a1ee565e0a0000aa6736f7572"
    "6365a66d656469756da863616d706169676ecf1a1ee565e0b0000ba66d6f62696c65cf1a1ee565e0c0000ca24e4cd9243531"
    "6135333062652d303833332d353162662d383337322d376266623663616562303938"
)
DATED_FACTS_SLICE: Final = SLICE | {"had": 0}

FACTS_THAT_IT_HAS: Final = bytes.fromhex(
    "000000000000004d000001a1ee565e0193cf1a1ee565e0200002c418000102030405060708090a0b0c0d0e0f101112131415"
    "161791dc001dce000f3766cf1a1ee565e0100001cf1a1ee565e0200002170504a3776562cf1a1ee565e0300003a3616e6ecf"
    "1a1ee565e0100001a32f696ecf1a1ee565e0600006a42f6f7574cf1a1ee565e0700007a6426f75676874cf1a1ee565e08000"
    "08a6757365722d37cf1a1ee565e0900009b268747470733a2f2f722e6578616d706c652fcf1a1ee565e0a0000aa6736f7572"
    "6365a66d656469756da863616d706169676ecf1a1ee565e0b0000ba66d6f62696c65cf1a1ee565e0c0000ca24e4cd9243531"
    "6135333062652d303833332d353162662d383337322d376266623663616562303938ccb7"
)

VERSION_1: Final = bytes.fromhex(
    "01000000000000004d000001a1ee565e0193cf1a1ee565e0200002c418000102030405060708090a0b0c0d0e0f1011121314"
    "15161791dc001dce000f3766cf1a1ee565e0100001cf1a1ee565e0200002170504a3776562cf1a1ee565e0300003a3616e6e"
    "cf1a1ee565e0100001a32f696ecf1a1ee565e0600006a42f6f7574cf1a1ee565e0700007a6426f75676874cf1a1ee565e080"
    "0008a6757365722d37cf1a1ee565e0900009b268747470733a2f2f722e6578616d706c652fcf1a1ee565e0a0000aa6736f75"
    "726365a66d656469756da863616d706169676ecf1a1ee565e0b0000ba66d6f62696c65cf1a1ee565e0c0000ca24e4cd92435"
    "316135333062652d303833332d353162662d383337322d376266623663616562303938ccb7"
)

# Knows when it began (born_ms START_MS + 3), its round of late events (2), and names that ceased.
VERSION_2: Final = bytes.fromhex(
    "02000000000000004d000001a1ee565e0195cf1a1ee565e0200002c418000102030405060708090a0b0c0d0e0f1011121314"
    "15161791dc001ece000f3766cf1a1ee565e0100001cf1a1ee565e0200002170504a3776562cf1a1ee565e0300003a3616e6e"
    "cf1a1ee565e0100001a32f696ecf1a1ee565e0600006a42f6f7574cf1a1ee565e0700007a6426f75676874cf1a1ee565e080"
    "0008a6757365722d37cf1a1ee565e0900009b268747470733a2f2f722e6578616d706c652fcf1a1ee565e0a0000aa6736f75"
    "726365a66d656469756da863616d706169676ecf1a1ee565e0b0000ba66d6f62696c65cf1a1ee565e0c0000ca24e4cd92435"
    "316135333062652d303833332d353162662d383337322d376266623663616562303938ccb7d92437623964356165362d3164"
    "30622d356637632d396133652d326334623166306538643661cf000001a1ee565e0302"
)
VERSION_2_SLICE: Final = SLICE | {"ceased_id": "7b9d5ae6-1d0b-5f7c-9a3e-2c4b1f0e8d6a"}

# By the version that a release wrote, in their order; None for those of before there were versions.
SESSIONS: Final[tuple[tuple[int | None, bytes, dict[str, Any]], ...]] = (
    (None, FIRST_TOUCHES, FIRST_TOUCHES_SLICE),
    (None, DATED_FACTS, DATED_FACTS_SLICE),
    (None, FACTS_THAT_IT_HAS, SLICE),
    (1, VERSION_1, SLICE),
    (2, VERSION_2, VERSION_2_SLICE),
)

# An identity state with applied 78 and active_ms START_MS + 5, of both kinds at once.
LINKS: Final[dict[str, dict[str, Any]]] = {
    "u1": {
        "first_linked_ms": START_MS + 1,
        "linked_ms": START_MS + 2,
        "link_source": "login",
        "traits": '{"name":"A"}',
        "traits_ms": START_MS + 3,
    },
    "u2": {
        "first_linked_ms": START_MS + 4,
        "linked_ms": START_MS + 5,
        "link_source": "identify",
        "traits": "{}",
        "traits_ms": -1,
    },
}
VISITORS: Final = {"ann": {"first_ms": START_MS + 6, "last_ms": START_MS + 7}}
USERS: Final = {"u3": {"first_ms": START_MS + 8, "last_ms": START_MS + 9}}
IDENTITIES: Final[tuple[tuple[int | None, bytes], ...]] = (
    (
        None,
        bytes.fromhex(
            "000000000000004e000001a1ee565e059382a2753195cf000001a1ee565e01cf000001a1ee565e02a56c6f67696eac7b226e"
            "616d65223a2241227dcf000001a1ee565e03a2753295cf000001a1ee565e04cf000001a1ee565e05a86964656e74696679a2"
            "7b7dff81a3616e6e92cf000001a1ee565e06cf000001a1ee565e0781a2753392cf000001a1ee565e08cf000001a1ee565e09"
        ),
    ),
    (
        1,
        bytes.fromhex(
            "01000000000000004e000001a1ee565e059382a2753195cf000001a1ee565e01cf000001a1ee565e02a56c6f67696eac7b22"
            "6e616d65223a2241227dcf000001a1ee565e03a2753295cf000001a1ee565e04cf000001a1ee565e05a86964656e74696679"
            "a27b7dff81a3616e6e92cf000001a1ee565e06cf000001a1ee565e0781a2753392cf000001a1ee565e08cf000001a1ee565e"
            "09"
        ),
    ),
    (
        2,
        bytes.fromhex(
            "02000000000000004e000001a1ee565e059682a2753196cf000001a1ee565e01cf000001a1ee565e02a56c6f67696eac7b22"
            "6e616d65223a2241227dcf000001a1ee565e03cf000001a1ee565e0aa2753296cf000001a1ee565e04cf000001a1ee565e05"
            "a86964656e74696679a27b7dffff81a3616e6e92cf000001a1ee565e06cf000001a1ee565e0781a2753392cf000001a1ee56"
            "5e08cf000001a1ee565e0981a3616e6e94cf000001a1ee565e0bcf000001a1ee565e0ca973657373696f6e2d31a2753481a7"
            "77616d69642e3194cf000001a1ee565e0da455532e31a970726f6a6563742d31a339303092a3616e6ea777616d69642e31"
        ),
    ),
)
# What states of the second version have besides.
DELETED: Final = {"u1": START_MS + 10, "u2": -1}
MINTED: Final = {
    "ann": {
        "first_ms": START_MS + 11,
        "expires_ms": START_MS + 12,
        "session_id": "session-1",
        "user_id": "u4",
    }
}
BROUGHT: Final = {
    "wamid.1": {"at_ms": START_MS + 13, "customer": "US.1", "project_id": "project-1", "phone_number_id": "900"}
}

# A state of conversations with applied 79, active_ms START_MS + 30 and silent_ms START_MS + 31, of both kinds at once.
CONVERSATIONS: Final[tuple[tuple[int, bytes], ...]] = (
    (
        1,
        bytes.fromhex(
            "01000000000000004f000001a1ee565e1e93cf000001a1ee565e1f9681a86377616d69642e3199a8637573746f6d6572cf00"
            "0001a1ee565e20c3a3626f7402c3a7757365722d3333a8636c69636b2d3334a561642d333581a777616d69642e3181a8746f"
            "6b656e2d333695cf000001a1ee565e25a6616e6e2d3338aa73657373696f6e2d3339a7757365722d3430c294cf000001a1ee"
            "565e29dc0019a6717565756564cf000001a1ee565e01cf000001a1ee565e02cf000001a1ee565e0304cf000001a1ee565e05"
            "cf000001a1ee565e06cf000001a1ee565e07cf000001a1ee565e08a5656e646564090a0b0c0d0e0f10cf000001a1ee565e11"
            "cf000001a1ee565e12a7757365722d3139a8636c69636b2d3230a561642d3231a8746f6b656e2d323295cf000001a1ee565e"
            "17a6616e6e2d3234aa73657373696f6e2d3235a7757365722d3236c32a2bc410000102030405060708090a0b0c0d0e0fcf00"
            "0001a1ee565e2c81af636f6e766572736174696f6e2d34352e93cf000001a1ee565e2f81a3313031cf000001a1ee565e3081"
            "a455532e32cf000001a1ee565e31"
        ),
    ),
)
