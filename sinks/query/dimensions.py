"""What a question can be asked of, and the dimensions that each has: a name, and its expression."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Subject(StrEnum):
    """What `--where` and `--by` speak of; in a query's SQL it is {{events}}, {{sessions}} or {{conversations}}."""

    EVENTS = "events"
    SESSIONS = "sessions"
    CONVERSATIONS = "conversations"


SOURCE: Final = "coalesce(nullIf(utm_source, ''), nullIf(domainWithoutWWW(referrer), ''), '(direct)')"
_SHARED: Final = {
    "country": "country_code",
    "device": "device_type",
    "channel": "channel_type",
    "visitor": "anonymous_id",
    "user": "ifNull(user_id, '')",
}
DIMENSIONS: Final[Mapping[Subject, Mapping[str, str]]] = {
    Subject.EVENTS: _SHARED
    | {
        "event": "event_name",
        "type": "event_type",
        "page": "page_path",
        "title": "page_title",
        "referrer": "domainWithoutWWW(page_referrer)",
        "city": "city",
        "os": "os_name",
        "browser": "browser_name",
        "session": "session_id",
    },
    Subject.SESSIONS: _SHARED
    | {
        "source": SOURCE,
        "medium": "ifNull(utm_medium, '')",
        "campaign": "ifNull(utm_campaign, '')",
        "referrer": "domainWithoutWWW(referrer)",
        "entry": "entry_page",
        "exit": "exit_page",
        "converted": "toString(converted)",
        "conversion": "ifNull(conversion_event, '')",
        "events": "event_count",
        "pages": "page_count",
        "seconds": "duration_seconds",
    },
    Subject.CONVERSATIONS: {
        "state": "current_state",
        "entry": "entry_source",
        "number": "business_phone_id",
        "customer": "whatsapp_phone_id",
        "user": "ifNull(user_id, '')",
        "visitor": "ifNull(linked_anonymous_id, '')",
        "session": "ifNull(linked_session_id, '')",
        "ad": "ifNull(ad_id, '')",
        "reason": "resolved_reason",
        "messages": "message_count",
        "handoffs": "handoff_count",
    },
}
NUMBERS: Final = {"events", "pages", "seconds", "messages", "handoffs"}
