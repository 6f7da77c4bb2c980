"""The sink of a later release, with one more version of enriched_events: `python -m tests.sinks.upgraded run`."""

from unittest.mock import patch

from schemas import registry
from sinks import __main__ as program

_KNOWN = registry.versions()
_OURS = next(version for version in reversed(_KNOWN) if version.topic == "enriched_events")
_NEXT = registry.Version(_KNOWN[-1].schema_id + 1, _OURS.topic, _OURS.version + 1, _OURS.schema)

if __name__ == "__main__":
    with patch.object(registry, "versions", lambda: (*_KNOWN, _NEXT)):
        program.app()
