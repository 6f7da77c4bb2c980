"""Who is one customer: what is known of the names that WhatsApp has for one, and which of them a fact belongs to. Pure.

A name is a business-scoped user id, or a phone number's digits. Names are one customer when WhatsApp says that one
became the other (an alias). A phone is never what joins two ids, since numbers are given to other people: what is known
under a phone alone belongs to the id that had appeared with it last at that time, else to the first that does later.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from schemas.whatsapp import is_phone

NAMES_MAX: Final = 20  # that a name is tied to, of each kind; further ones are strangers
GROUP_MAX: Final = 50  # names of one customer
_NEVER: Final = 2**62


class Names(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """What the table holds for one name: the others it is tied to, each with the earliest time, in ms.

    first_ms: when it was seen first; together: of an id the phones, of a phone the ids that it was seen with.
    """

    first_ms: int = _NEVER
    together: dict[str, int] = {}
    aliases: dict[str, int] = {}


NamesOf = Callable[[str], Names | None]


class Group(NamedTuple):
    """One customer: its names, the canonical one first, and the phones under which some of its facts may be.

    owners: of each of these phones, the ids it was seen with.
    """

    names: Sequence[str]
    owners: Mapping[str, Mapping[str, int]]

    def owns(self, phone: str, at: int) -> bool:
        """Whether what was known by a phone alone at a time is this customer's."""
        return owner(self.owners[phone], at) in self.names


def tie(ties: dict[str, int], other: str, at: int) -> bool:
    """Note that a name is tied to another since a time, at the latest; whether that says anything new."""
    known = ties.get(other)
    if (known is None and len(ties) >= NAMES_MAX) or (known is not None and known <= at):
        return False
    ties[other] = at
    return True


def owner(ids: Mapping[str, int], at: int) -> str:
    """The id that a phone belonged to at a time: the last that had appeared with it by then, else the first to come."""
    before = [(since, name) for name, since in ids.items() if since <= at]
    return max(before)[1] if before else min((since, name) for name, since in ids.items())[1]


def customers_of(name: str, names_of: NamesOf) -> Sequence[str]:
    """A name of each customer whose facts may be changed by what is told of a name: of a phone, all its ids."""
    known = names_of(name)
    return list(known.together) if known is not None and known.together and is_phone(name) else [name]


def group_of(name: str, names_of: NamesOf) -> Group:
    """The customer that a name is of. A phone that has ids is of none: ask for these (`customers_of`).

    The canonical name is the id that was seen first, else the phone.
    """
    found: dict[str, Names] = {}
    owners: dict[str, Mapping[str, int]] = {}
    waiting = [name]
    while waiting and len(found) < GROUP_MAX:
        one = waiting.pop()
        if one in found:
            continue
        names = found[one] = names_of(one) or Names()
        waiting += [_at_that_time(other, at, names_of) for other, at in names.aliases.items()]
        for phone in () if is_phone(one) else names.together:
            of_phone = names_of(phone)
            if of_phone is None or one not in of_phone.together:
                continue
            owners[phone] = of_phone.together
            waiting += [
                _at_that_time(other, at, names_of)
                for other, at in of_phone.aliases.items()
                if owner(of_phone.together, at) == one
            ]
    first = min(found, key=lambda one: (is_phone(one), found[one].first_ms, one))
    return Group([first, *sorted(found.keys() - {first})], owners)


def _at_that_time(name: str, at: int, names_of: NamesOf) -> str:
    """A name, or if it is a phone with ids, the one it belonged to."""
    known = names_of(name)
    return owner(known.together, at) if known is not None and known.together and is_phone(name) else name
