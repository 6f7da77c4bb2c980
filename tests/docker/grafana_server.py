"""A ClickHouse with Grafana's user, as compose.yaml mounts it."""

import shutil

from docker.local import PROJECT_ROOT
from docker.local.clickhouse import ClickHouseServer

GRAFANA_USER = "grafana"
GRAFANA_PASSWORD = "of grafana, in the tests"
DATABASE = "tally"  # the one that the user is granted
USER_FILE = PROJECT_ROOT / "docker" / "clickhouse" / "users.d" / "grafana.xml"


class ServerWithUsers(ClickHouseServer):
    """ClickHouse with users from files, as the image has them."""

    def command(self) -> list[str]:
        return ["env", f"GRAFANA_CLICKHOUSE_PASSWORD={GRAFANA_PASSWORD}", *super().command()]

    def prepare(self) -> None:
        super().prepare()
        shutil.copy(USER_FILE, self.home / "users.d")
        own = (
            "<access_control_improvements>"
            "<settings_constraints_replace_previous>true</settings_constraints_replace_previous>"
            "</access_control_improvements></clickhouse>"
        )
        self._config_path.write_text(self._config_path.read_text().replace("</clickhouse>", own))
