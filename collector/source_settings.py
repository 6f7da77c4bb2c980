"""What analytics.js asks for before it sends anything: the settings of its source."""

from typing import Final

import msgspec

from collector.answers import Answer
from collector.whereabouts import Whereabouts

_ENABLED: Final = {"__default": {"enabled": True}}
# Kept by the browser that asked, and by no cache on the way: the body names the host by which it was asked.
CACHED: Final = "Cache-Control: private, max-age=120\r\n"


def settings_answer(write_key: str, found_at: Whereabouts) -> Answer:
    """The settings of a write key. found_at: where the asking page found the collector, and so where events go."""
    segment = {
        "apiKey": write_key,
        "apiHost": f"{found_at.host}/v1",
        "protocol": found_at.scheme,
        "unbundledIntegrations": [],
        "addBundledMetadata": False,
    }
    body = {
        "integrations": {"Segment.io": segment},
        "plan": {"track": _ENABLED, "identify": _ENABLED, "group": _ENABLED},
        # analytics.js reports on itself to its vendor unless it is told not to.
        "metrics": {"sampleRate": 0, "host": f"{found_at.host}/v1"},
    }
    return Answer(200, msgspec.json.encode(body), headers=CACHED)
