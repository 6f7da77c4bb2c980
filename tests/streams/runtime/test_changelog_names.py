"""The changelogs that `python -m schemas apply` makes are those that Faust's tables use."""

import pytest

from schemas.settings import Settings
from schemas.topics import STATE_TABLES, changelog_of, changelogs
from streams.identities.state import IdentityStateCodec
from streams.runtime.app import App


@pytest.mark.parametrize("generation", [1, 3])
def test_apply_names_the_changelogs_as_the_tables_do(generation: int) -> None:
    settings = Settings.model_validate({"topic_prefix": "shop_", "streams_generation": generation})
    app = App(settings)
    assert app.conf.id == {1: "shop_tally-streams", 3: "shop_tally-streams-v3"}[generation]
    for source, table in STATE_TABLES.items():
        app.open_states(table, IdentityStateCodec())
        assert settings.topic(changelog_of(source, settings)) == app.state_tables[table].changelog_topic_name
    assert len(changelogs(settings)) == len(STATE_TABLES)
