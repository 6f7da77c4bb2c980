"""`python -m streams identities`, on real servers."""

import uuid
from collections.abc import Iterator
from typing import Final

import pytest
from clickhouse_driver import Client
from typer.testing import CliRunner

from docker.local.kafka import KafkaServer
from schemas import exits
from schemas.apply.tables import clickhouse
from schemas.apply.topics import apply_topics
from schemas.codec import Codec
from schemas.settings import Settings, to_environ
from schemas.whole_topic import read_whole
from streams.identity_changes.commands import NOT_FOUND, identities
from tests.streams.raw import IDS

PROJECT: Final = str(uuid.uuid4())
TENANT: Final = str(uuid.uuid4())
WHY: Final = ("--reason", "a shared till")


@pytest.fixture(scope="module")
def settings(kafka_server: KafkaServer, module_tables: Settings) -> Settings:
    topics = {
        "kafka_bootstrap": kafka_server.bootstrap,
        "topic_prefix": f"{module_tables.clickhouse_database}.",
        "partitions": 1,
    }
    found = module_tables.model_copy(update=topics)
    apply_topics(found)
    return found


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[Client]:
    with clickhouse(settings) as connected:
        connected.execute(
            "INSERT INTO projects (project_id, tenant_id, name, settings) SELECT %(project)s, %(tenant)s, 'Shop', "
            '\'{"placeholder_ids": ["no-user"]}\'',
            {"project": PROJECT, "tenant": TENANT},
        )
        connected.execute(
            "INSERT INTO events (event_id, tenant_id, event_type, timestamp, anonymous_id) "
            "SELECT generateUUIDv4(), %(tenant)s, 'track', now64(3), 'visitor'",
            {"tenant": TENANT},
        )
        connected.execute(
            "INSERT INTO identities (tenant_id, anonymous_id, user_id, linked_at, link_source, first_linked_at) "
            "SELECT %(tenant)s, 'visitor', 'ann', now64(3), 'identify', now64(3)",
            {"tenant": TENANT},
        )
        yield connected


def run(settings: Settings, *words: str, project: str = PROJECT) -> tuple[int, str]:
    done = CliRunner().invoke(identities, [*words, "--project", project], env=to_environ(settings))
    return done.exit_code, done.output


def owner(client: Client) -> str | None:
    rows: list[tuple[str | None]] = client.execute("SELECT resolved_user_id FROM events_resolved")
    return rows[0][0]


def test_a_link_is_taken_back_at_once_stays_so_and_is_made_again(settings: Settings, client: Client) -> None:
    of_ann = ("--visitor", "visitor", "--user", "ann")
    code, told = run(settings, "unlink", *of_ann, "--reason", "a shared till", "--by", "op")
    assert (code, owner(client)) == (0, "ann"), told
    assert "nothing changed" in told
    code, told = run(settings, "unlink", *of_ann, "--reason", "a shared till", "--by", "op", "--apply")
    assert (code, owner(client)) == (0, None), told

    # The worker, whose state knows nothing of it, says the same claim again.
    client.execute("INSERT INTO identities SELECT * FROM identities")
    client.execute("OPTIMIZE TABLE identities FINAL")
    assert owner(client) is None
    (record,) = read_whole(settings, "identity_changes")
    assert Codec("identity_changes", IDS).decode(record.value or b"")["reason"] == "a shared till"
    code, told = run(settings, "explain", "--visitor", "visitor")
    assert (code, "taken back by op" in told, "a shared till" in told) == (0, True, True), told

    assert run(settings, "unlink", *of_ann, "--reason", "twice", "--apply")[0] == NOT_FOUND
    code, told = run(settings, "link", *of_ann, "--reason", "hers after all", "--by", "op", "--apply")
    assert (code, owner(client)) == (0, "ann"), told


@pytest.mark.parametrize(
    ("words", "project", "expected", "part"),
    [
        (("explain", "--visitor", "visitor"), str(uuid.UUID(int=9)), exits.SETTINGS, "(Shop)"),
        (("explain", "--visitor", "nowhere"), PROJECT, NOT_FOUND, "nothing is known of 'nowhere'"),
        (("link", *WHY, "--visitor", "visitor", "--user", "no-user"), PROJECT, exits.SETTINGS, "names nobody"),
        (("link", *WHY, "--visitor", "nowhere", "--user", "ann"), PROJECT, NOT_FOUND, "'nowhere'"),
    ],
    ids=["project", "visitor", "placeholder", "stranger"],
)  # fmt: skip
@pytest.mark.usefixtures("client")
def test_what_cannot_be_done_says_why(
    settings: Settings, words: tuple[str, ...], project: str, expected: int, part: str
) -> None:
    code, told = run(settings, *words, project=project)
    assert (code, part in told) == (expected, True), told
