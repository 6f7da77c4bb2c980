"""The properties of an event, and its name and category, wherever its SDK puts them. Pure."""

from typing import Final

import msgspec

from collector.events.context import is_empty, merge_objects, require_object, traits_of
from collector.events.event import Event, Raw, text_or_none
from schemas.outcomes import DeadReason

_ABSENT: Final = Raw(b"")
_WITH_TRAITS: Final = frozenset({"identify", "group", "alias"})
_EMPTY: Final = b"{}"


class _Named(msgspec.Struct, gc=False):
    name: Raw = _ABSENT
    category: Raw = _ABSENT


_decode_named: Final = msgspec.json.Decoder(_Named).decode


def properties_of(event: Event, event_type: str, context: bytes) -> bytes:
    """The type's own member (traits or properties), or the other one when only that says something.

    Beneath the traits of an identify call lie those of its context, where RudderStack's SDKs put them: a member that
    both have is the call's own. Each stays byte for byte.
    """
    if not event.traits and event_type != "identify":  # nearly every event
        return require_object(event.properties, DeadReason.PROPERTIES_NOT_OBJECT, "properties")
    own_is_traits = event_type in _WITH_TRAITS
    properties, traits = bytes(event.properties), bytes(event.traits)
    if not is_empty(traits) and (own_is_traits or is_empty(properties)):
        found = require_object(event.traits, DeadReason.TRAITS_NOT_OBJECT, "traits")
    else:
        found = require_object(event.properties, DeadReason.PROPERTIES_NOT_OBJECT, "properties")
    if event_type != "identify" or (beneath := traits_of(context)) == _EMPTY:
        return found
    return beneath if is_empty(found) else merge_objects(beneath, found)


def name_and_category(event: Event, properties: bytes) -> tuple[str, str]:
    """Of a page or screen: its own members, or those of its properties, where Jitsu's SDK has them; '' for none."""
    name, category = event.name or "", text_or_none(event.category) or ""
    if (name and category) or properties == _EMPTY:
        return name, category
    named = _decode_named(properties)
    return name or text_or_none(named.name) or "", category or text_or_none(named.category) or ""
