"""Everything that workers made of raw_events, held against the oracles: nothing lost, nothing counted twice."""

import json
import os
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from streams.topology import rules
from tests.bench.traffic import Traffic
from tests.streams.oracle import all_sessions, claims_of, identities_of
from tests.streams.raw import RAW
from tests.streams.readers import FIELDS, dangling, live, newest_identities
from tests.streams.rig import StreamsRig
from tests.streams.universe import Row, made_uuid

SEED: Final = int(os.environ.get("TEST_SEED", "20261124"))
_CAMPAIGN: Final = {"source": "source", "medium": "medium", "campaign": "name"}


def traffic(count: int, **fields: Any) -> list[tuple[str, bytes]]:
    """Keys and values of a shop's visitors, some of them twice, over `hours`, one unless told."""
    hours_ms = fields.pop("hours", 1) * 3_600_000
    source = Traffic(seed=SEED, visitors=fields.pop("visitors", 400), ms_per_event=hours_ms / count, **fields)
    return [(key, RAW.encode(record)) for key, record in source.records(count)]


def disordered(pairs: Sequence[tuple[str, bytes]], share: float = 0.1) -> list[tuple[str, bytes]]:
    """Some of them come much later than the others: they give sessions other beginnings, and join them."""
    chance = random.Random(SEED)
    places = [number + chance.random() * len(pairs) * (chance.random() < share) for number in range(len(pairs))]
    return [pairs[number] for number in sorted(range(len(pairs)), key=places.__getitem__)]


def later(pairs: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """New events of the same visitors five minutes later."""
    found = []
    for number, (key, value) in enumerate(pairs):
        event = RAW.decode(value)
        moments = {name: event[name] + timedelta(minutes=5) for name in ("timestamp", "received_at")}
        ids = {"event_id": made_uuid(f"later {number}"), "message_id": made_uuid(f"later message {number}")}
        found.append((key, RAW.encode(event | moments | ids)))
    return found


def kept_rows(rig: StreamsRig) -> list[Row]:
    """The enriched events past the watermark, which must be the rows that the oracles keep, each once, in order."""
    kept, _ = rig.expected()
    rows = rig.past_the_watermark()
    assert [(row["source_partition"], row["source_offset"]) for row in rows] == sorted(kept)
    for row in rows:
        raw = kept[row["source_partition"], row["source_offset"]]
        assert {name: row[name] for name in raw if name in row} == {name: raw[name] for name in raw if name in row}
        campaign = json.loads(raw["context"]).get("campaign", {})
        row |= {f"utm_{name}": campaign.get(member) for name, member in _CAMPAIGN.items()}
        row["client_session_id"] = raw["client_session_id"]
    return rows


def sessions_differ(rig: StreamsRig, rows: list[Row]) -> list[str]:
    """The sessions that are not the fold of the rows."""
    expected = all_sessions(rows, rules(rig.settings).sessions, {})
    found = live(rig.rows("sessions"))
    wanted = {name: {field: row[field] for field in FIELDS} for name, row in expected.items()}
    return [name[1] for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]


def identities_differ(rig: StreamsRig, rows: list[Row]) -> list[tuple[str, str, str]]:
    """The identities that are not those of the rows' claims."""
    expected = identities_of(
        [claim for row in rows for claim in claims_of(row)], {"pin", "password", "token", "secret"}
    )
    found = newest_identities(rig.rows("identities"))
    return [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]


def assert_accounted(rig: StreamsRig) -> int:
    """Nothing lost, nothing counted twice; how many enriched events stand in the topic more than once."""
    rows = kept_rows(rig)
    assert sessions_differ(rig, rows) == []
    assert dangling([(row["tenant_id"], row["session_id"]) for row in rows], rig.rows("sessions")) == []
    assert identities_differ(rig, rows) == []
    return len(rig.records("enriched_events")) - len(rows)
