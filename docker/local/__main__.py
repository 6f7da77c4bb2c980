"""`python -m docker.local fetch|up|down|status`: the local stack without Docker."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from docker.local import RUN_DIR
from docker.local.kafka import archive_classes
from docker.local.packages import PACKAGES, FetchFailedError, fetch
from docker.local.process import ServerFailedError
from docker.local.stack import Stack, StackError, listing
from docker.local.tools import MissingToolError

app = typer.Typer(help="Kafka, ClickHouse and Prometheus as ordinary processes, without Docker.", no_args_is_help=True)

HomeOption = Annotated[Path, typer.Option("--home", help="folder of data, logs and pid files")]


@app.command("fetch")
def fetch_packages(
    names: Annotated[list[str] | None, typer.Argument(help=f"{' | '.join(PACKAGES)} | all (the default)")] = None,
) -> None:
    """Get the pinned packages into .tally/packages; what is there already is left alone."""
    wanted = list(PACKAGES) if not names or "all" in names else names
    if unknown := set(wanted) - set(PACKAGES):
        raise typer.BadParameter(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(PACKAGES)}, all")
    for name in wanted:
        started = time.monotonic()
        fetch(name)
        if name == "kafka":
            archive_classes()
        typer.echo(f"{name} is there ({time.monotonic() - started:.2f} s)")


@app.command()
def up(
    home: HomeOption = RUN_DIR,
    kafka_port: int = 9092,
    kafka_controller_port: int = 9093,
    clickhouse_tcp_port: int = 9000,
    clickhouse_http_port: int = 8123,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="start Prometheus too")] = False,
    prometheus_port: int = 9090,
    prometheus_config: Annotated[
        Path | None, typer.Option(help="prometheus.yml; without it nothing is scraped")
    ] = None,
    postgresql: Annotated[bool, typer.Option("--postgresql", help="start PostgreSQL too")] = False,
    postgresql_port: int = 5432,
    registry: Annotated[bool, typer.Option("--registry", help="start a schema registry too")] = False,
    registry_port: int = 8081,
) -> None:
    """Start the stack and wait until it is ready; what runs already is left alone."""
    ports = {
        "kafka": {"port": kafka_port, "controller_port": kafka_controller_port},
        "clickhouse": {"tcp_port": clickhouse_tcp_port, "http_port": clickhouse_http_port},
    }
    if prometheus or prometheus_config is not None:
        ports["prometheus"] = {"port": prometheus_port}
    if postgresql:
        ports["postgresql"] = {"port": postgresql_port}
    if registry:
        ports["registry"] = {"port": registry_port}
    Stack(home, prometheus_config).up(ports, typer.echo)


@app.command()
def down(home: HomeOption = RUN_DIR) -> None:
    """End the stack; its data stays."""
    Stack(home).down(typer.echo)


@app.command()
def status(home: HomeOption = RUN_DIR) -> None:
    """Tell what runs where; exit 1 unless everything started here is ready."""
    parts = Stack(home).status()
    for part in parts:
        state = "ready" if part.ready else "not ready" if part.pid else "ended"
        pid = f"pid {part.pid}" if part.pid else ""
        typer.echo(f"{part.name:<12}{state:<11}{pid:<14}{listing(part.ports)}")
    if not parts or not all(part.ready for part in parts):
        raise typer.Exit(1)


def main() -> None:
    """Run the command; 2: something must be installed, 1: something failed."""
    try:
        app()
    except MissingToolError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except (FetchFailedError, ServerFailedError, StackError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
