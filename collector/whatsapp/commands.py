"""`python -m collector whatsapp`: what is set up what has come, and an id's hash. Exits 1 when anything is amiss."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from prometheus_client.parser import text_string_to_metric_families

from collector.projects.directory import ProjectDirectory
from collector.projects.topic import ProjectsUnavailableError, read_projects
from collector.whatsapp.apps import AppsFileError, read_apps
from collector.whatsapp.ids import hashed_id
from collector.whatsapp.keyring import keyring_of
from collector.whatsapp.webhook import FIELDS
from schemas.codec import Codec
from schemas.exits import SETTINGS, settings_or_exit
from schemas.registry import RegistryUnavailableError, open_ids
from schemas.settings import Settings

whatsapp = typer.Typer(no_args_is_help=True, help="WhatsApp's webhooks.")
_LAST_SEEN: Final = "tally_collector_whatsapp_last_seen_seconds"
_ANSWER_S: Final = 10.0


@whatsapp.command("hash")
def hash_id(
    text: Annotated[str, typer.Argument(metavar="ID", help="a customer's user id or phone, or a message's id")],
    tenant: Annotated[str, typer.Option(help="UUID of the tenant")],
) -> None:
    """An id as it is stored for a project whose `ids` are hashed: for erasing, and for integrators' events."""
    key = keyring_of(settings_or_exit()).of_tenant(tenant).ids
    if key is None:
        typer.echo("TALLY_COLLECTOR_WHATSAPP_IDS_SECRET is not set", err=True)
        raise typer.Exit(SETTINGS)
    typer.echo(hashed_id(key, text))


@whatsapp.command()
def check() -> None:
    """Whether file, projects and secrets fit each other, and which fields of webhooks have never come."""
    settings = settings_or_exit()
    directory = _directory(settings)
    problems = [*_set_up(settings, directory), *_never_seen(settings)]
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo("everything fits, and every field has come")


def _directory(settings: Settings) -> ProjectDirectory:
    try:
        return read_projects(settings, Codec("projects", open_ids(settings.schema_registry_url, settings.topic_prefix)))
    except (ProjectsUnavailableError, RegistryUnavailableError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _set_up(settings: Settings, directory: ProjectDirectory) -> Iterator[str]:
    """What does not fit, a line each."""
    path = settings.collector_whatsapp_apps_path
    try:
        apps = set() if path is None else set(read_apps(Path(path)))
    except AppsFileError as error:
        yield f"TALLY_COLLECTOR_WHATSAPP_APPS_PATH: {error}"
        apps = set()
    if path is None:
        yield "TALLY_COLLECTOR_WHATSAPP_APPS_PATH is not set: no webhook is taken"
    if not settings.collector_handshake_secret.get_secret_value():
        yield "TALLY_COLLECTOR_HANDSHAKE_SECRET is not set: there are no handshake tokens"
    numbered = directory.numbers.all()
    if not numbered:
        yield "no enabled project has a number: `python -m collector projects whatsapp` adds one"
    for project, of_project in numbered:
        for app in sorted(set(of_project.apps) - apps):
            yield f"project {project.name!r}: the file of secrets has no app {app!r}"
        if not of_project.apps:
            yield f"project {project.name!r} has numbers and no apps: nothing reaches it"
        if of_project.ids == "hashed" and not settings.collector_whatsapp_ids_secret.get_secret_value():
            yield f"project {project.name!r} wants hashed ids: TALLY_COLLECTOR_WHATSAPP_IDS_SECRET is not set"
        for number in of_project.numbers:
            first = directory.numbers.owners(number)[0].project
            if first.project_id != project.project_id:
                yield f"project {project.name!r}: {number} is one of the project {first.name!r} too, which gets all"
    for app in sorted(apps - {app for _, of_project in numbered for app in of_project.apps}):
        yield f"app {app!r}: no enabled project names it"


def _never_seen(settings: Settings) -> Iterator[str]:
    """The fields that no process has had since it began, if any process can be asked."""
    seen: set[str] = set()
    for process in range(settings.collector_processes):
        url = f"http://{settings.admin_host}:{settings.collector_admin_port + process}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:
                text = answer.read().decode()
        except OSError as error:
            yield f"{url} does not answer ({error}): which fields have come cannot be told"
            return
        for family in text_string_to_metric_families(text):
            seen |= {sample.labels["field"] for sample in family.samples if family.name == _LAST_SEEN}
    for field in FIELDS:
        if field not in seen:
            yield f"{field}: none has come since the collector began; subscribe to it at Meta if nobody has"
