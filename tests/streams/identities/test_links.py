"""One link of a visitor to a user, of several claims."""

from itertools import permutations
from typing import Any, Final

import pytest

from streams.identities.links import settle_link
from streams.identities.state import new_claims

CLAIMS: Final = (("handshake", 10, '{"a":1}'), ("identify", 20, '{"a":2}'), ("login", 30, "{}"))


@pytest.mark.parametrize("order", list(permutations(CLAIMS)), ids=lambda order: "-".join(str(at) for _, at, _ in order))
def test_a_link_begins_with_its_earliest_claim_and_ends_with_its_latest_in_any_order(order: Any) -> None:
    state = new_claims()
    for source, linked_at, traits in order:
        claim = {"anonymous_id": "v", "user_id": "u", "link_source": source, "linked_at": linked_at, "traits": traits}
        assert settle_link(state, claim, 10)
    (link,) = state.links.values()
    assert (link.first_linked_ms, link.linked_ms, link.link_source) == (10, 30, "login")
    assert (link.traits, link.traits_ms) == ('{"a":2}', 20)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("alias_at", [10, 20, 30])
def test_what_was_once_an_alias_stays_one_whatever_else_is_claimed(alias_at: int, order: Any) -> None:
    state = new_claims()
    for place in order:
        at = (10, 20, 30)[place]
        source = "alias" if at == alias_at else "identify"
        claim = {"anonymous_id": "v", "user_id": "u", "link_source": source, "linked_at": at, "traits": "{}"}
        settle_link(state, claim, 10)
    (link,) = state.links.values()
    assert (link.first_linked_ms, link.linked_ms, link.link_source) == (10, 30, "alias")
