"""compose.yaml and the image hold together with the settings, the commands and the configuration files they name.

No engine runs here: what is checked is consistency, which is what breaks when a setting or a command is renamed.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka.admin import AdminClient, ConfigResource

from docker.local import PROJECT_ROOT
from docker.local.kafka import KafkaServer
from schemas.settings import PREFIX, Settings, load
from streams.runtime.app import _faust_settings

DOCKER = PROJECT_ROOT / "docker"
PACKAGES = ("schemas", "collector", "streams", "sinks")
ADMIN_PORTS = {name: Settings.model_fields[f"{name}_admin_port"].default for name in ("collector", "streams", "sinks")}


def services(*names: str) -> dict[str, dict[str, Any]]:
    """The services of the compose files, later ones merged over earlier ones as far as these files need it."""
    merged: dict[str, dict[str, Any]] = {}
    for name in names or ("compose.yaml",):
        for service, own in read(name)["services"].items():
            whole = merged.setdefault(service, {})
            environment = whole.get("environment", {}) | own.get("environment", {})
            whole.update(own)
            whole["environment"] = environment
    return merged


def read(name: str) -> dict[str, Any]:
    """A compose file with every ${NAME:-default} replaced by its default."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", (DOCKER / name).read_text())
    assert "${" not in text, "every variable has a default: the file must work without an environment"
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def seconds(duration: str) -> int:
    """Of a compose duration in seconds."""
    return int(duration.removesuffix("s"))


SERVICES = services()
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SERVERS = {name: service for name, service in SERVICES.items() if "build" not in service}
LONG_RUNNING = sorted(set(SERVICES) - {"apply"})


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.yaml", "compose.geo.yaml")], ids=["plain", "geo"])
def test_environment_of_every_service_of_ours_makes_valid_settings(files: tuple[str, ...]) -> None:
    for name in OURS:
        load({key: str(value) for key, value in services(*files)[name]["environment"].items()})


def test_every_tally_name_in_these_files_is_a_setting() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    files = [*DOCKER.glob("*.yaml"), DOCKER / "README.md", DOCKER / "Dockerfile"]
    for path in files:
        assert set(re.findall(r"TALLY_\w*[A-Z]", path.read_text())) <= known, path.name


def test_each_package_runs_as_a_service() -> None:
    commands = {name: service["command"] for name, service in OURS.items()}
    assert commands == {
        "apply": ["schemas", "apply"],
        "collector": ["collector", "run"],
        "streams": ["streams", "run"],
        "sinks": ["sinks", "run"],
    }


def test_images_of_others_are_pinned_to_a_version() -> None:
    for name, service in SERVERS.items():
        tag = service["image"].partition(":")[2]
        assert re.fullmatch(r"v?\d+\.\d+\.\d+(\.\d+)?", tag), f"{name}: {service['image']}"


def test_kafka_is_the_version_that_the_tests_run() -> None:
    pom = (DOCKER / "local" / "maven" / "kafka" / "pom.xml").read_text()
    assert f"<version>{SERVICES['kafka']['image'].partition(':')[2]}</version>" in pom


def test_kafka_knows_every_property_it_is_given(kafka_server: KafkaServer) -> None:
    # An unknown one is not refused but passed over, so that a misspelt replication factor would be the default's 3.
    broker = ConfigResource(ConfigResource.Type.BROKER, "1")
    admin = AdminClient({"bootstrap.servers": kafka_server.bootstrap})
    known = set(admin.describe_configs([broker])[broker].result(30))
    given = {name for name in SERVICES["kafka"]["environment"] if name != "KAFKA_HEAP_OPTS"}
    assert {name.removeprefix("KAFKA_").lower().replace("_", ".") for name in given} <= known


def test_clickhouse_is_the_release_that_the_tests_run() -> None:
    package = json.loads((DOCKER / "local" / "npm" / "clickhouse" / "package.json").read_text())
    (version,) = package["dependencies"].values()
    tag = SERVICES["clickhouse"]["image"].partition(":")[2]
    assert tag.split(".")[:2] == version.split(".")[:2]


def test_ports_are_published_on_this_machine_only() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), f"{name}: {port}"


def test_services_to_be_scaled_publish_no_port() -> None:
    for name in ("streams", "sinks"):
        assert "ports" not in SERVICES[name]
        assert "container_name" not in SERVICES[name]


def test_data_lives_in_named_volumes() -> None:
    declared = set(read("compose.yaml")["volumes"])
    used = set()
    for service in SERVICES.values():
        used |= {
            source for volume in service.get("volumes", []) if not (source := volume.split(":")[0]).startswith(".")
        }
    assert used == declared
    assert {name.removesuffix("-data") for name in declared} == set(SERVERS)


def test_mounted_files_exist_and_are_read_only() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _, *mode = volume.split(":")
            if source.startswith("."):
                assert (DOCKER / source).exists(), volume
                assert mode == ["ro"], volume


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_service_that_stays_has_a_check_a_restart_and_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"])
    assert service["logging"]["options"]["max-size"], "logs without a bound fill the disk"


@pytest.mark.parametrize("name", sorted(ADMIN_PORTS))
def test_health_is_asked_on_the_admin_port(name: str) -> None:
    assert f"http://127.0.0.1:{ADMIN_PORTS[name]}/readyz" in SERVICES[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", sorted(ADMIN_PORTS))
def test_prometheus_finds_every_container_of_a_service(name: str) -> None:
    jobs = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (job,) = [job for job in jobs if job["job_name"] == name]
    (discovery,) = job["dns_sd_configs"]
    assert discovery["names"] == [name]
    assert discovery["port"] == ADMIN_PORTS[name]


def test_stopping_is_given_longer_than_the_services_take() -> None:
    defaults = Settings.model_validate({})
    bounds = {
        "collector": defaults.collector_stop_ms_max,
        "sinks": defaults.sinks_stop_ms_max,
        # The group may wait this long for the open epoch; see broker_rebalance_timeout in streams.
        "streams": _faust_settings(defaults)["broker_rebalance_timeout"] * 1000,
    }
    for name, stop_ms_max in bounds.items():
        assert seconds(SERVICES[name]["stop_grace_period"]) * 1000 >= stop_ms_max + 5_000, name


def test_nothing_of_ours_starts_before_topics_and_tables_are_there() -> None:
    for name in ADMIN_PORTS:
        assert SERVICES[name]["depends_on"] == {"apply": {"condition": "service_completed_successfully"}}
    assert SERVICES["apply"]["depends_on"] == {
        "kafka": {"condition": "service_healthy"},
        "clickhouse": {"condition": "service_healthy"},
    }
    assert "restart" not in SERVICES["apply"]


def test_names_of_other_services_resolve() -> None:
    for name in OURS:
        settings = load({key: str(value) for key, value in SERVICES[name]["environment"].items()})
        assert settings.kafka_bootstrap.split(":")[0] in SERVICES
        assert settings.clickhouse_host in SERVICES
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"PLAINTEXT://{settings.kafka_bootstrap}," in listeners


def test_database_user_and_password_are_the_ones_the_server_is_given() -> None:
    server = SERVICES["clickhouse"]["environment"]
    settings = load({key: str(value) for key, value in SERVICES["sinks"]["environment"].items()})
    assert server["CLICKHOUSE_USER"] == settings.clickhouse_user
    assert server["CLICKHOUSE_PASSWORD"] == settings.clickhouse_password.get_secret_value()
    assert server["CLICKHOUSE_DB"] == settings.clickhouse_database
    password = SERVICES["grafana"]["environment"]["GRAFANA_CLICKHOUSE_PASSWORD"]
    assert server["GRAFANA_CLICKHOUSE_PASSWORD"] == password


def test_containers_of_ours_cannot_write_outside_their_folder() -> None:
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


class TestImage:
    LINES = (DOCKER / "Dockerfile").read_text().splitlines()

    def instructions(self, name: str) -> list[str]:
        return [line.removeprefix(f"{name} ") for line in self.LINES if line.startswith(f"{name} ")]

    def test_base_image_is_pinned(self) -> None:
        for base in self.instructions("FROM"):
            assert re.match(r"python:3\.11\.\d+-slim-[a-z]+( AS dependencies)?$", base)

    def test_runs_as_a_user_without_rights(self) -> None:
        assert self.instructions("USER") == ["tally"]
        last = max(number for number, line in enumerate(self.LINES) if line.startswith(("RUN", "COPY")))
        assert self.LINES.index("USER tally") > last

    def test_holds_every_package_and_nothing_else_of_the_project(self) -> None:
        copied = [line.split() for line in self.instructions("COPY") if not line.startswith(("--from", "docker/"))]
        assert copied == [[name, f"/opt/tally/{name}"] for name in PACKAGES]
        ignored = (DOCKER / "Dockerfile.dockerignore").read_text()
        assert {f"!{name}" for name in PACKAGES} <= set(ignored.splitlines())

    def test_installs_what_the_project_pins(self) -> None:
        pinned = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        locked = {line.partition(";")[0].strip() for line in (DOCKER / "requirements.lock").read_text().splitlines()}
        assert {re.sub(r"\[.*\]", "", pin) for pin in pinned} <= locked
        assert "COPY docker/requirements.lock /tmp/requirements.lock" in self.LINES

    def test_polars_keeps_to_one_thread(self) -> None:
        assert "POLARS_MAX_THREADS=1" in "\n".join(self.LINES)

    def test_ports_are_those_of_the_settings(self) -> None:
        ports = {Settings.model_fields["collector_port"].default, *ADMIN_PORTS.values()}
        assert {int(port) for line in self.instructions("EXPOSE") for port in line.split()} == ports


@pytest.mark.parametrize("path", [*sorted(DOCKER.glob("*.*")), DOCKER / "Dockerfile"], ids=lambda path: path.name)
def test_no_address_of_a_registry_or_mirror(path: Path) -> None:
    addresses = re.findall(r"https?://([\w.-]+)", path.read_text())
    assert set(addresses) <= {"127.0.0.1", "localhost"}
