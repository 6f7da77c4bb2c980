"""Links between ids as people look at them: who is joined to whom, and what a change is. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from schemas import keys
from schemas.link_sources import ALIAS, MANUAL
from schemas.placeholders import is_placeholder


class Pair(NamedTuple):
    """Two ids that are linked. anonymous_id: a visitor; of an alias, the user's former id."""

    anonymous_id: str
    user_id: str


class Claimed(NamedTuple):
    """What events said of a pair: the newest row of `identities`. Times in ms."""

    pair: Pair
    linked_ms: int
    link_source: str
    is_deleted: bool
    first_linked_ms: int


class Change(NamedTuple):
    """What a person did to a pair: a row of `identity_changes`. Times in ms."""

    pair: Pair
    changed_ms: int
    link_source: str
    is_deleted: bool
    first_linked_ms: int
    changed_by: str
    reason: str

    def record(self, tenant_id: str) -> dict[str, str | int | bool]:
        """As the topic has it."""
        return {
            "tenant_id": tenant_id,
            "anonymous_id": self.pair.anonymous_id,
            "user_id": self.pair.user_id,
            "changed_at": self.changed_ms,
            "link_source": self.link_source,
            "is_deleted": self.is_deleted,
            "first_linked_at": self.first_linked_ms,
            "changed_by": self.changed_by,
            "reason": self.reason,
        }

    def key(self, tenant_id: str) -> bytes:
        return keys.of_identity_change(tenant_id, *self.pair, self.changed_ms)


class Known(NamedTuple):
    """All that is stored of some ids. current: the pairs that are linked today, with the ms from which each counts."""

    claimed: Sequence[Claimed]
    changes: Sequence[Change]
    current: Mapping[Pair, int]


def problem_of(pair: Pair, own_placeholders: frozenset[str]) -> str:
    """Why two ids cannot be linked; '' when they can."""
    for name, text in zip(("--visitor", "--user"), pair, strict=True):
        if is_placeholder(text, own_placeholders):
            return (
                f"{name} {text!r} names nobody: programs send it for want of an id, and strangers would be one person"
            )
    return "a link is between two ids, and these are the same" if pair.anonymous_id == pair.user_id else ""


def linked(pair: Pair, now_ms: int, since_ms: int | None, *, alias: bool, by: str, why: str, known: Known) -> Change:
    """A person links two ids."""
    at = _after(pair, now_ms, known)
    return Change(pair, at, ALIAS if alias else MANUAL, False, at if since_ms is None else since_ms, by, why)


def unlinked(pair: Pair, now_ms: int, *, by: str, why: str, known: Known) -> Change:
    """A person takes a link back: what was claimed of it until now counts no more."""
    at = _after(pair, now_ms, known)
    return Change(pair, at, "", True, at, by, why)


def _after(pair: Pair, now_ms: int, known: Known) -> int:
    """Now, but later than what is known: a client's clock that is ahead must not outlive who takes its claim back."""
    claims = (claim.linked_ms for claim in known.claimed if claim.pair == pair)
    changes = (change.changed_ms for change in known.changes if change.pair == pair)
    return max((now_ms, *(moment + 1 for moment in (*claims, *changes))))


def explained(known: Known) -> Iterator[str]:
    """Lines of text: each pair, whether it is linked and since when, by which claims, and who changed it."""
    pairs = dict.fromkeys([*(row.pair for row in known.claimed), *(row.pair for row in known.changes)])
    for pair in sorted(pairs):
        since = known.current.get(pair)
        state = "not linked" if since is None else f"linked, counts from {at(since)}"
        yield f"{pair.anonymous_id} → {pair.user_id}: {state}"
        for claim in known.claimed:
            if claim.pair == pair and claim.is_deleted:
                yield f"  taken back by a row of identities at {at(claim.linked_ms)}"
            elif claim.pair == pair:
                first, last = at(claim.first_linked_ms), at(claim.linked_ms)
                yield f"  claimed by events ({claim.link_source}), first {first}, last {last}"
        for change in known.changes:
            if change.pair == pair:
                how = "alias" if change.link_source == ALIAS else "link"
                done = "taken back" if change.is_deleted else f"made ({how}, from {at(change.first_linked_ms)})"
                yield f"  {done} by {change.changed_by} at {at(change.changed_ms)}: {change.reason}"


def at(ms: int) -> str:
    """A time for people."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
