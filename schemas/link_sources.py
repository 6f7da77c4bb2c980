"""By what two ids are linked: `link_source` of claims and identities, and what the view `user_persons` asks for."""

from typing import Final

IDENTIFY: Final = "identify"
LOGIN: Final = "login"
HANDSHAKE: Final = "handshake"
ALIAS: Final = "alias"
"""Two users, or a visitor and a user, are one person in all their events, not in those of the visitor alone."""
