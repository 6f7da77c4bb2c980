"""WhatsApp: what the collector calls its events and their members, and how streams reads them. Pure.

The collector makes these of a webhook (`origin` whatsapp) or of a mint (`origin` handshake); both are track events. An
event of a webhook has the visitor and user `whatsapp:<customer>` and `context.channel_type` whatsapp,
`context.externalId` the customer. Members of `properties`, of which absent ones are as if empty:

    phone_number_id      text   the business number
    wa_id                text   the customer's phone, digits; '' when it is not known, or ids are hashed
    message_id           text   wamid; of a status and of an echo that of the message it speaks of
    group_id             text   a group's message or status
    is_standby           bool   of the webhook field `standby`
    referral             {ctwa_clid, source_id}   of a message from an ad
    handshake_token      text   the first token of the message whose tag is right, as it was minted
    status               text   sent, delivered, read, played, failed
    pricing_category     text   of a status, as sent
    sender               text   bot, agent: of `tally:sender=` in biz_opaque_callback_data
    message_type         text   of an echo; template
    new_owner_role       text   of a handover
    previous_customer    text   of WhatsApp User Changed: the former id, else the former phone

of a mint, whose `anonymousId`, `userId` and session are the visitor's:

    handshake_token      text
    expires_at           integer, ms since 1970: until when a message with the token counts

Live Chat events (`LIVE_CHAT`) come from integrators' servers, with `channel_type` whatsapp and `externalId` in their
context: `phone_number_id`, `message_id` (wamid), `sender` (customer, bot, agent), `to` (queue, bot, agent).
"""

from typing import Final

ORIGIN: Final = "whatsapp"
"""`origin` of raw events that a webhook brought."""
ORIGIN_HANDSHAKE: Final = "handshake"
"""`origin` of the events of tokens that the collector minted."""
CHANNEL: Final = "whatsapp"
USER_PREFIX: Final = "whatsapp:"
"""Stands before a customer's id where it is a user's or a visitor's."""

MESSAGE_RECEIVED: Final = "WhatsApp Message Received"
MESSAGE_REACTED: Final = "WhatsApp Message Reacted"
MESSAGE_EDITED: Final = "WhatsApp Message Edited"
MESSAGE_REVOKED: Final = "WhatsApp Message Revoked"
CHAT_OPENED: Final = "WhatsApp Chat Opened"
USER_CHANGED: Final = "WhatsApp User Changed"
MESSAGE_STATUS: Final = "WhatsApp Message Status"
MESSAGE_ECHOED: Final = "WhatsApp Message Echoed"
HANDOVER: Final = "WhatsApp Handover"
CHANNEL_ERROR: Final = "WhatsApp Channel Error"
HANDSHAKE_CREATED: Final = "WhatsApp Handshake Created"

CHAT_STARTED: Final = "Live Chat Conversation Started"
CHAT_SENT: Final = "Live Chat Message Sent"
CHAT_RECEIVED: Final = "Live Chat Message Received"
CHAT_ASSIGNED: Final = "Live Chat Conversation Assigned"
CHAT_ENDED: Final = "Live Chat Conversation Ended"
LIVE_CHAT: Final = frozenset((CHAT_STARTED, CHAT_SENT, CHAT_RECEIVED, CHAT_ASSIGNED, CHAT_ENDED))

# Kinds of conversation_signals, and who writes what goes out, by whose word.
STARTED: Final = "started"
CUSTOMER: Final = "customer"
QUEUE: Final = "queue"
TO_BOT: Final = "to_bot"
TO_AGENT: Final = "to_agent"
OUTBOUND: Final = "outbound"
ENDED: Final = "ended"
FACTS: Final = frozenset((STARTED, CUSTOMER, QUEUE, TO_BOT, TO_AGENT, OUTBOUND, ENDED))
ALIAS: Final = "alias"
LINKED: Final = "linked"
UNLINKED: Final = "unlinked"
KINDS: Final = FACTS | {ALIAS, LINKED, UNLINKED}

BOT: Final = "bot"
AGENT: Final = "agent"
UNKNOWN: Final = "unknown"
ECHO: Final = "echo"
TOLD: Final = "told"

_SPACING: Final = str.maketrans("", "", "+ -().")


def is_phone(customer: str) -> bool:
    """Whether a customer's id is a phone number's digits, and no business-scoped user id."""
    return customer.isascii() and customer.isdigit()


def customer_id(text: str) -> str:
    """A customer's id as it is compared: a phone number's digits alone, anything else as it is."""
    digits = text.translate(_SPACING)
    return digits if is_phone(digits) else text.strip()
