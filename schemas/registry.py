"""Which schema a Confluent schema id stands for: the committed list by default, a schema registry by setting.

`avro/ids.json` is append-only: an id, once committed, means the same schema for ever, since records of that id lie in
topics. `avro/<topic>.avsc` is what is written today and equals the newest entry of its topic.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

_REGISTRY_TIMEOUT_S: Final = 5  # the client's own default is to wait for ever
_LATER_IDS: Final = 1_000  # more than there will be before every process has been upgraded
_REASON_CHARS: Final = 300
_SCHEMA_NOT_FOUND: Final = 40403  # of Confluent's API; a bare 404 is a wrong address
_AVRO: Final = resources.files("schemas") / "avro"


class SchemaUnknownError(LookupError):
    """No schema has this id. `may_come`: a later release may write with it, so that its records are not bad."""

    def __init__(self, schema_id: int, may_come: bool = False) -> None:
        self.schema_id = schema_id
        self.may_come = may_come
        super().__init__(f"no schema has the id {schema_id}")


class RegistryUnavailableError(RuntimeError):
    """The schema registry cannot be reached or refuses. `url`: its address, without credentials. May pass."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"the schema registry at {url} {reason}")


@dataclass(frozen=True, slots=True)
class Version:
    """One committed version of a topic's schema."""

    schema_id: int
    topic: str
    version: int
    schema: Mapping[str, Any]


class SchemaIds(Protocol):
    """Answers in both directions between ids and schemas."""

    def schema_id(self, topic: str) -> int:
        """The id under which `topic` is written today."""

    def schema(self, schema_id: int) -> Mapping[str, Any]:
        """The schema of an id. Raises SchemaUnknownError."""


@cache
def current_schema(topic: str) -> Mapping[str, Any]:
    """The schema a topic is written with today, from `avro/<topic>.avsc`."""
    parsed: Mapping[str, Any] = json.loads((_AVRO / f"{topic}.avsc").read_text("utf-8"))
    return parsed


def ids_path() -> Path:
    """Where the id list is kept in the source tree."""
    return Path(str(_AVRO / "ids.json"))


@cache
def versions() -> tuple[Version, ...]:
    """Every committed version, oldest first, from `avro/ids.json`."""
    entries = json.loads(ids_path().read_text("utf-8"))
    return tuple(Version(entry["id"], entry["topic"], entry["version"], entry["schema"]) for entry in entries)


def without_docs(schema: Any) -> Any:
    """The schema less its doc members: what decides bytes, and so what an id stands for."""
    if isinstance(schema, dict):
        return {name: without_docs(value) for name, value in schema.items() if name != "doc"}
    if isinstance(schema, list):
        return [without_docs(value) for value in schema]
    return schema


class EmbeddedIds:
    """The committed id list: no server needed."""

    def __init__(self) -> None:
        self._schemas = {version.schema_id: version.schema for version in versions()}
        self._newest = {version.topic: version.schema_id for version in versions()}

    def schema_id(self, topic: str) -> int:
        return self._newest[topic]

    def schema(self, schema_id: int) -> Mapping[str, Any]:
        try:
            return self._schemas[schema_id]
        except KeyError:
            # Ids are given in rising order: one that follows upon ours is of a release that this process is older than.
            newest = max(self._schemas)
            raise SchemaUnknownError(schema_id, newest < schema_id <= newest + _LATER_IDS) from None


class RegistryIds:
    """Ids of a Confluent-compatible schema registry; subjects are `<topic>-value`, answers are kept for ever.

    Besides SchemaUnknownError, both methods raise RegistryUnavailableError.
    """

    def __init__(self, url: str, topic_prefix: str = "") -> None:
        # Imported here: its HTTP stack is not wanted in processes that use the committed list.
        from confluent_kafka.schema_registry import SchemaRegistryClient

        # The client takes credentials out of the address itself, and puts that into what it says of errors.
        address, credentials = _split(url)
        self._url = address
        self._secrets = [text for text in (credentials, *credentials.split(":", 1), unquote(credentials)) if text]
        config: dict[str, Any] = {"url": address, "timeout": _REGISTRY_TIMEOUT_S, "max.retries": 0}
        if credentials:
            config["basic.auth.user.info"] = unquote(credentials)
        self._client = SchemaRegistryClient(config)
        self._prefix = topic_prefix
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, Mapping[str, Any]] = {}

    def schema_id(self, topic: str) -> int:
        from confluent_kafka.schema_registry import Schema

        if topic not in self._ids:
            schema = Schema(json.dumps(without_docs(current_schema(topic))), "AVRO")
            with self._asking():
                self._ids[topic] = self._client.register_schema(f"{self._prefix}{topic}-value", schema)
        return self._ids[topic]

    def schema(self, schema_id: int) -> Mapping[str, Any]:
        if schema_id not in self._schemas:
            with self._asking(schema_id):
                self._schemas[schema_id] = json.loads(self._client.get_schema(schema_id).schema_str)
        return self._schemas[schema_id]

    @contextmanager
    def _asking(self, schema_id: int | None = None) -> Iterator[None]:
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        try:
            yield
        except SchemaRegistryError as error:
            if schema_id is not None and error.error_code == _SCHEMA_NOT_FOUND:
                raise SchemaUnknownError(schema_id) from None
            reason = f"refuses: {self._redacted(str(error.error_message))} (HTTP status {error.http_status_code})"
            raise RegistryUnavailableError(self._url, reason) from None
        except Exception as error:  # whichever HTTP library the client uses, its errors have no common name
            raise RegistryUnavailableError(self._url, f"cannot be reached: {self._redacted(str(error))}") from None

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:_REASON_CHARS]


def _split(url: str) -> tuple[str, str]:
    """The address without its credentials, and these: `user:password`, '' when there are none."""
    parts = urlsplit(url)
    credentials, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=host)), credentials


def open_ids(url: str | None, topic_prefix: str = "") -> SchemaIds:
    """The registry at `url`, or the committed list when there is none."""
    return RegistryIds(url, topic_prefix) if url else EmbeddedIds()
