"""Why a request is refused, and the one place that says with which HTTP status. Pure: `http/` makes the response.

SDKs retry 408, 429 and 5xx for hours and drop the events of any other 4xx for good: what may succeed later is never
one of those. Bodies are Segment's: its SDKs read `code` and `message`.
"""

from enum import Enum


class Refusal(Enum):
    """(status, code, default message)"""

    MALFORMED = (400, "invalid_request", "malformed JSON")
    TOO_LARGE = (400, "invalid_request", "the body is too large")
    UNREADABLE = (400, "invalid_request", "no valid HTTP request")
    HEADERS_TOO_LARGE = (400, "invalid_request", "the address with its query, or a header, is too large")
    ENCODING_UNKNOWN = (400, "invalid_request", "Content-Encoding is gzip, deflate or identity")
    KEY_MISSING = (
        401,
        "write_key_missing",
        "no write key: send it as the user name of Basic authentication, as X-Write-Key, as ?writeKey= or as the "
        "member 'writeKey' of the body; with analytics.js, set apiKey in the settings of Segment.io",
    )
    KEY_UNKNOWN = (401, "write_key_unknown", "no project has this write key")
    PROJECT_DISABLED = (401, "project_disabled", "the project of this write key is disabled")
    SIGNATURE_WRONG = (401, "signature_wrong", "the body is not signed with a secret of this app: see its app_secrets")
    VERIFY_TOKEN_WRONG = (403, "verify_token_wrong", "hub.verify_token is not the one of this app")
    ORIGIN_NOT_ALLOWED = (403, "origin_not_allowed", "the project does not allow events from this origin")
    NOT_FOUND = (404, "not_found", "no such route")
    SDK_NOT_INSTALLED = (
        404,
        "not_found",
        "the browser SDKs are not installed here: TALLY_COLLECTOR_BROWSER_SDKS_PATH names a node_modules folder with "
        "@segment/analytics-next and @jitsu/js (see collector/README.md)",
    )
    APP_UNKNOWN = (404, "not_found", "no such app: TALLY_COLLECTOR_WHATSAPP_APPS_PATH names the file that lists them")
    HANDSHAKES_OFF = (404, "not_found", "there are no handshake tokens: TALLY_COLLECTOR_HANDSHAKE_SECRET is not set")
    METHOD_NOT_ALLOWED = (405, "method_not_allowed", "this route does not take the method")
    BODY_TOO_SLOW = (408, "request_timeout", "the body did not arrive in time")
    TOO_MANY_HANDSHAKES = (429, "too_many_requests", "too many handshake tokens for one address within a minute")
    INTERNAL = (500, "internal_error", "the collector failed; the request may be repeated")
    STARTING = (503, "unavailable", "the collector does not know the projects yet")
    STOPPING = (503, "unavailable", "the collector is about to stop")
    NO_PROJECTS = (
        503,
        "unavailable",
        "no project is known: add one with 'python -m collector projects add', or see to TALLY_TOPIC_PREFIX",
    )
    SECRET_MISSING = (503, "unavailable", "ids are to be hashed: TALLY_COLLECTOR_WHATSAPP_IDS_SECRET is not set")
    TOO_MANY_CONNECTIONS = (503, "unavailable", "too many connections")
    OVERLOADED = (503, "unavailable", "too much waits for Kafka")
    NOT_DURABLE = (503, "unavailable", "Kafka did not acknowledge the events in time")


class RefusedRequest(Exception):
    """Ends the handling of a request with a refusal."""

    def __init__(self, refusal: Refusal, message: str | None = None) -> None:
        self.refusal = refusal
        self.message = message
        super().__init__(refusal, message)
