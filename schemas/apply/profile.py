"""Settings of whoever asks: what no table can say for itself, and the answers' speed rests on."""

from typing import Final

from clickhouse_driver import Client

from schemas.apply.findings import Finding, Verdict

# By default a skip index is looked at only after ClickHouse has chosen between a table and its projections.
NEEDED: Final[dict[str, str]] = {"use_skip_indexes_on_data_read": "0"}


def profile_notes(client: Client) -> list[Finding]:
    """A note when the connection's user asks with other settings than `NEEDED`: right answers, but slower."""
    rows = client.execute(
        "SELECT name, value, currentUser() FROM system.settings WHERE name IN %(names)s ORDER BY name",
        {"names": tuple(NEEDED)},
    )
    return [
        Finding(
            Verdict.NOTE,
            f"setting {name}",
            f"is {value} for user {user}: the history of a user within one event's name reads all rows of that name. "
            "Give docker/clickhouse/users.d/tally.xml to the server, or "
            f"ALTER USER … SETTINGS {name} = {NEEDED[name]}, also for the others who ask",
        )
        for name, value, user in rows
        if value != NEEDED[name]
    ]
