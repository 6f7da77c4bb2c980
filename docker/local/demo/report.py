"""What landed: tables for the terminal, and where each accepted event ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from docker.local.demo.chat import conversation, customer_of
from docker.local.demo.senders import Sent

Query = Callable[[str], str]


@dataclass(frozen=True)
class Account:
    """Where the accepted events of one run ended. Balanced when nothing is missing and nothing stands twice."""

    accepted: int
    repeats: int
    bad: int
    stored: int
    stored_ids: int
    dead: int

    @property
    def duplicates(self) -> int:
        """Accepted events that are neither stored nor dead: repeats, if the account balances."""
        return self.accepted - self.stored - self.dead

    @property
    def balanced(self) -> bool:
        """Whether every accepted event is accounted for."""
        return (
            self.stored == self.stored_ids == self.accepted - self.repeats - self.bad
            and self.dead == self.bad
            and self.duplicates == self.repeats
        )


def account(query: Query, sent: Sequence[Sent], run: str) -> Account:
    """Count this run's events in the tables."""
    others = (f"user-{run}-curl", f"user-{run}-chat", f"whatsapp:{customer_of(run)}")
    mine = f"(anonymous_id LIKE 'demo-{run}-%' OR user_id IN {others})"
    stored, ids = query(f"SELECT count(), uniqExact(message_id) FROM events WHERE {mine}").split()
    dead = query(f"SELECT count() FROM dead_letters FINAL WHERE client_message_id LIKE 'demo-{run}-%'")
    return Account(
        accepted=sum(part.events for part in sent),
        repeats=sum(part.repeats for part in sent),
        bad=sum(part.bad for part in sent),
        stored=int(stored),
        stored_ids=int(ids),
        dead=int(dead),
    )


def show(console: Console, query: Query, sent: Sequence[Sent], found: Account, run: str) -> None:
    """Print what was sent, what landed, and one row whole."""
    mine = f"anonymous_id LIKE 'demo-{run}-%'"
    clients = Table("client", "accepted (200)", title="sent", title_justify="left")
    for part in sent:
        clients.add_row(part.client, str(part.events))
    console.print(clients)
    _print(console, query, "events by type", ("type", "events", "visitors"),
           "SELECT event_type, count(), uniqExact(anonymous_id) FROM events "
           f"WHERE {mine} GROUP BY 1 ORDER BY 2 DESC")  # fmt: skip
    _print(console, query, "sessions", ("sessions", "events", "pages", "converted", "robots", "countries"),
           "SELECT count(), sum(event_count), sum(page_count), countIf(converted), countIf(is_bot), "
           f"arrayStringConcat(groupUniqArray(country_code), ' ') FROM sessions FINAL WHERE {mine}")  # fmt: skip
    _print(console, query, "identities", ("source", "links", "example"),
           "SELECT link_source, count(), any(concat(anonymous_id, ' is ', user_id)) FROM identities FINAL "
           f"WHERE {mine} GROUP BY 1 ORDER BY 2 DESC")  # fmt: skip
    _print(console, query, "dead letters", ("reason", "events", "detail"),
           "SELECT reason, count(), any(detail) FROM dead_letters FINAL "
           f"WHERE client_message_id LIKE 'demo-{run}-%' GROUP BY 1")  # fmt: skip
    row = query(f"SELECT * FROM events WHERE {mine} AND event_type = 'track' LIMIT 1 FORMAT Vertical")
    console.print("\n[bold]one conversation[/], from the page to its end")
    console.print(conversation(query, run).rstrip(), highlight=False, markup=False)
    console.print("\n[bold]one row of events[/]")
    console.print(row.rstrip(), highlight=False, markup=False)
    ended = Table("accepted", "stored", "duplicates", "dead letters", "unaccounted", title_justify="left",
                  title="where each accepted event ended")  # fmt: skip
    unaccounted = found.duplicates - found.repeats
    ended.add_row(*map(str, (found.accepted, found.stored, found.repeats, found.dead, unaccounted)))
    console.print(ended)


def _print(console: Console, query: Query, title: str, headers: Sequence[str], sql: str) -> None:
    table = Table(*headers, title=title, title_justify="left")
    for line in query(f"{sql} FORMAT TSVRaw").splitlines():
        table.add_row(*line.split("\t"))
    console.print(table)
