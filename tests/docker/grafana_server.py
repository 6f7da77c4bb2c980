"""A ClickHouse with Grafana's user, as compose.yaml mounts it."""

import shutil

from docker.local import PROJECT_ROOT
from docker.local.clickhouse import ClickHouseServer

GRAFANA_USER = "grafana"
GRAFANA_PASSWORD = "of grafana, in the tests"
DATABASE = "tally"  # the one that the user is granted
USER_FILE = PROJECT_ROOT / "docker" / "clickhouse" / "users.d" / "grafana.xml"
# What the image's own users.xml has and the file counts on.
USERS = """<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile></default></users>
</clickhouse>
"""


class ServerWithUsers(ClickHouseServer):
    """ClickHouse with users from files, as the image has them."""

    def command(self) -> list[str]:
        return ["env", f"GRAFANA_CLICKHOUSE_PASSWORD={GRAFANA_PASSWORD}", *super().command()]

    def prepare(self) -> None:
        super().prepare()
        users = self.home / "users.xml"
        users.write_text(USERS)
        (self.home / "users.d").mkdir(exist_ok=True)
        shutil.copy(USER_FILE, self.home / "users.d")
        own = (
            f"<users_config>{users}</users_config><access_control_improvements>"
            "<settings_constraints_replace_previous>true</settings_constraints_replace_previous>"
            "</access_control_improvements></clickhouse>"
        )
        self._config_path.write_text(self._config_path.read_text().replace("</clickhouse>", own))
