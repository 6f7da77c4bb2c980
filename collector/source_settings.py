"""What analytics.js asks for before it sends anything: the settings of its source."""

import msgspec

from collector.answers import Answer

_ENABLED = {"__default": {"enabled": True}}


def settings_answer(write_key: str, host: str) -> Answer:
    """The settings of a write key; `host` is where the asking page found the collector, and so where events go."""
    segment: dict[str, object] = {"apiKey": write_key, "unbundledIntegrations": [], "addBundledMetadata": False}
    if host:
        segment["apiHost"] = f"{host}/v1"
    body = {
        "integrations": {"Segment.io": segment},
        "plan": {"track": _ENABLED, "identify": _ENABLED, "group": _ENABLED},
    }
    return Answer(200, msgspec.json.encode(body), headers="Cache-Control: public, max-age=120\r\n")
