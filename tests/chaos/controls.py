"""Negative controls: a safeguard is taken away, and the proof must see what that does, how much of it, and no more."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.batches import Batch
from tests.chaos.proof import Meddle, Run, Scale
from tests.chaos.site import Sabotage

_SINK: Final = {"sinks": "tests.sinks.forgetful"}
# Without kills: the one that a control needs is part of it.
SCALE: Final = Scale(events=6_000, kills=0, events_per_s=2_000, outage_s=0, freeze_s=0, pause_s=0.1, every=("poison",))


@dataclass(frozen=True, slots=True)
class Control:
    """What is taken away; and how much of each kind must be wrong then, at least and at most: no other kind may be."""

    wrong: Mapping[str, tuple[int, int]]
    sabotage: Sabotage = field(default_factory=Sabotage)
    meddle: Meddle | None = None

    def surprises(self, wrong: Mapping[str, int]) -> list[str]:
        """What is otherwise than it must be; empty: the proof saw exactly this."""
        return [
            f"{kind}: {wrong.get(kind, 0)}, not {least} to {most}"
            for kind in sorted(self.wrong.keys() | wrong.keys())
            for least, most in [self.wrong.get(kind, (0, 0))]
            if not least <= wrong.get(kind, 0) <= most
        ]


MEDDLED: Final = ("unknown", "identities", "dead_letters", "answers", "exits", "faults")


def meddle_with_everything(run: Run) -> None:
    """One thing wrong of each kind that no safeguard is there for, through the real tables, processes and answers."""
    tables = {
        "INSERT INTO events SELECT * REPLACE ('nobody sent this' AS client_message_id, 10000000 AS source_offset, "
        "generateUUIDv7() AS event_id) FROM events ORDER BY message_id LIMIT 1",
        "INSERT INTO identities SELECT * REPLACE ('somebody else' AS user_id) FROM identities FINAL "
        "ORDER BY anonymous_id LIMIT 1",
        "INSERT INTO dead_letters SELECT * REPLACE (generateUUIDv4() AS dead_letter_id) FROM dead_letters FINAL "
        "WHERE stage = 'streams' ORDER BY dead_letter_id LIMIT 1",
    }
    for statement in sorted(tables):
        run.site.pipeline.query(statement)
    run.clients.try_once(Batch(b"this is no JSON", [], []))
    run.fired.clear()
    (slot,) = run.site.up("sinks")
    slot.service.kill()  # nobody told the supervisor
    run.site.wait_until(lambda: slot.starts > 1 and slot.service.is_ready(), "the sink is back", 60.0)


# About 7,000 events: of 2 % of them the client sends a repeat, and an epoch or a batch is a small part of them.
CONTROLS: Final[Mapping[str, Control]] = {
    # Two in one run: no kind is wrong by both.
    "deduplication off, and meddled with": Control(
        {"doubled": (30, 400), "sessions": (30, 400)}
        | dict.fromkeys(MEDDLED, (1, 1))
        # One hour and one day lack the event that nobody sent, as nobody makes them anew: so say the sums, and the
        # command; and perhaps that hour lacks its visitor and its session.
        | {"rollups": (3, 5)},
        Sabotage({}, {"UNDEDUPLICATED": "1", "TALLY_SINKS_ROLLUPS_INTERVAL_S": "0"}),
        meddle_with_everything,
    ),
    "a batch dropped": Control({"lost": (1, 3_000), "ledger": (1, 1)}, Sabotage(_SINK, {"FORGET": "batch"})),
    # What a worker forgets at a restart are the message ids too: repeats of events from before it are not recognised.
    "offset guard off": Control(
        {"sessions": (10, 900), "doubled": (0, 200)},
        Sabotage({}, {"UNGUARDED": "1"}, {"KILL_BEFORE_COMMIT": "3"}),
    ),
    "watermark off": Control(
        {"doubled": (10, 5_000), "ledger": (1, 1)},
        Sabotage(_SINK, {"FORGET": "watermark"}, {"KILL_BEFORE_STATES": "3"}),
    ),
}
