"""By what two ids are linked: `link_source` of claims and identities, and what the view `user_persons` asks for.

A token that the collector minted has two sides, `handshake_side` of its claims: where it was minted, and the message
that brought it.
"""

from typing import Final

IDENTIFY: Final = "identify"
LOGIN: Final = "login"
HANDSHAKE: Final = "handshake"
MANUAL: Final = "manual"
"""Made by a person: `python -m streams identities link`."""
ALIAS: Final = "alias"
"""Two users, or a visitor and a user, are one person in all their events, not in those of the visitor alone."""

WEB: Final = "web"
CHAT: Final = "chat"
UNLINK: Final = "unlink"
"""`handshake_side` of the claim that takes back what a token tied."""
