"""What can become of an event: keep, drop (with a reason) or dead letter (with a reason); bounded, fit for labels."""

from enum import StrEnum


class Outcome(StrEnum):
    """The result of a step for one event."""

    KEEP = "keep"
    DROP = "drop"
    DEAD = "dead"


class DropReason(StrEnum):
    """Why an event ends without a row of its own; each is counted, none is an error."""

    DUPLICATE = "duplicate"  # the same (project, message_id) was kept before
    REPLAYED = "replayed"  # at or below the offset its state has applied: its outputs are durable already
    SUPPRESSED = "suppressed"  # the project asked not to keep events of this user


class DeadReason(StrEnum):
    """Why an event ends as a dead letter, with its bytes."""

    # collector: the write key was valid, the event is not
    EVENT_NOT_JSON = "event_not_json"  # in a batch whose other events are JSON
    EVENT_TOO_DEEP = "event_too_deep"
    EVENT_NOT_OBJECT = "event_not_object"
    TYPE_UNKNOWN = "type_unknown"
    NO_USER_ANON_ID = "no_user_anon_id"
    EVENT_NOT_STRING = "event_not_string"
    EVENT_TOO_LARGE = "event_too_large"
    FIELD_WRONG_TYPE = "field_wrong_type"
    FIELD_TOO_LONG = "field_too_long"
    PROPERTIES_NOT_OBJECT = "properties_not_object"
    TRAITS_NOT_OBJECT = "traits_not_object"
    CONTEXT_NOT_OBJECT = "context_not_object"
    GROUP_ID_MISSING = "group_id_missing"
    PREVIOUS_ID_MISSING = "previous_id_missing"
    USER_ID_MISSING = "user_id_missing"
    INVALID_UTF8 = "invalid_utf8"
    BATCH_TOO_LONG = "batch_too_long"
    PHONE_NUMBER_UNKNOWN = "phone_number_unknown"  # no enabled project has the business number, or not from this app
    WHATSAPP_ITEM_INVALID = "whatsapp_item_invalid"  # an item of a webhook without id, time or customer
    # streams: the record on the topic is not what the contract says
    NOT_AVRO = "not_avro"
    SCHEMA_ID_UNKNOWN = "schema_id_unknown"
    SCHEMA_MISMATCH = "schema_mismatch"
    FIELD_INVALID = "field_invalid"
    STEP_FAILED = "step_failed"
    OUTPUT_TOO_LARGE = "output_too_large"
    # sinks: the database refuses the row
    ROW_REFUSED = "row_refused"


class FactOutcome(StrEnum):
    """What became of what a signal says of a customer."""

    NEW = "new"  # something is known now that was not
    KNOWN = "known"  # it was all known: a receipt that comes again, or after a better one
    REPLAYED = "replayed"  # a worker that was killed had taken it
    LATE = "late"  # it came more than eight days after it was: an event, and no fact
    FAILED = "failed"  # a message that only failed: nobody has read it
    UNNAMED = "unnamed"  # a message of a Live Chat event without WhatsApp's id, beside a webhook that tells of it


class HandshakeOutcome(StrEnum):
    """What became of a handshake token that a message brought."""

    LINKED = "linked"
    REUSED = "reused"  # by another customer than the first
    EARLY = "early"  # the message was there before the token
    EXPIRED = "expired"
    AMBIGUOUS = "ambiguous"  # two visitors have it
    UNKNOWN = "unknown"  # nobody was given it


class Remark(StrEnum):
    """What happened to an event or a state besides its outcome; each is counted, and some have an alert."""

    CLOCK_AHEAD = "clock_ahead"  # an event from beyond the broker's time took that time
    ID_SHARED = "id_shared"  # a claim of one more user of a visitor, or id of a token, than there is room for
    TRAITS_CUT = "traits_cut"  # a claim whose traits have no room beside the others of its visitor
    SEEN_IDS_FORGOTTEN = "seen_ids_forgotten"  # message ids within the window, of keys with too many: repeats pass
    LATE = "late"  # an event came later than the bound after a newer one of its key: a session of its own
    LATE_ROUND = "late_round"  # a key had late events in more half-hours than are kept: later ones join none before
    TOMBSTONE = "tombstone"  # a session ceased, joined with another by an event that arrived late: a row says so
    ROW_CLIPPED = "row_clipped"  # a session whose row no message could hold: its texts are shortened
    STATE_CLIPPED = "state_clipped"  # a state that no message could hold: the texts of its sessions are shortened


class BotReason(StrEnum):
    """Why an enriched event has is_bot = true."""

    NONE = ""
    USER_AGENT = "user_agent"  # the user agent names a known robot
    USER_AGENT_EMPTY = "user_agent_empty"  # a web event without any user agent
    HEADLESS = "headless"  # a headless browser or automation tool
    HTTP_LIBRARY = "http_library"  # a scripting library's default user agent on a browser event
