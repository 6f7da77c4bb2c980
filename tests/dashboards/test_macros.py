import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dashboards.macros import Range, UnknownMacroError, expand_promql, expand_sql

ALL = Range(100, 200, 30, {"tenant": ()})
ONE = Range(100, 200, 30, {"tenant": ("t1",)})
CONDITION = "WHERE $__conditionalAll(tenant_id IN (${tenant:singlequote}), $tenant) AND a = (b)"


def test_time_filter_bounds_the_column_on_both_sides() -> None:
    assert expand_sql("WHERE $__timeFilter(at)", ALL) == "WHERE at >= toDateTime(100) AND at <= toDateTime(200)"


def test_time_interval_cuts_the_column_into_steps() -> None:
    assert expand_sql("$__timeInterval(at) AS t", ALL) == "toStartOfInterval(toDateTime(at), INTERVAL 30 second) AS t"


def test_condition_on_a_variable_falls_away_when_all_are_chosen() -> None:
    assert expand_sql(CONDITION, ALL) == "WHERE 1=1 AND a = (b)"


def test_condition_on_a_variable_holds_when_some_are_chosen() -> None:
    assert expand_sql(CONDITION, ONE) == "WHERE tenant_id IN ('t1') AND a = (b)"


def test_every_condition_is_expanded() -> None:
    twice = f"{CONDITION} AND ({CONDITION.removeprefix('WHERE ')})"
    assert expand_sql(twice, ONE).count("tenant_id IN ('t1')") == 2


@given(st.lists(st.text(alphabet="ab'", max_size=5), min_size=1, max_size=3))
def test_values_cannot_end_their_quotes(values: list[str]) -> None:
    expanded = expand_sql("${tenant:singlequote}", Range(0, 1, 1, {"tenant": values}))
    assert expanded.replace(r"\'", "").count("'") == 2 * len(values)


@given(st.recursive(st.just("x"), lambda inner: st.tuples(inner, inner).map(lambda pair: f"f({pair[0]}, {pair[1]})")))
def test_condition_may_hold_calls_with_commas(call: str) -> None:
    assert expand_sql(f"$__conditionalAll({call}, $tenant)", ONE) == call


@pytest.mark.parametrize(
    "sql", ["$__timeFilterMs(a)", "$tenant", "${tenant}", "$__conditionalAll(a)", "${other:singlequote}"]
)
def test_what_is_not_known_here_is_not_passed_over(sql: str) -> None:
    with pytest.raises(UnknownMacroError):
        expand_sql(sql, ONE)


def test_rate_interval_of_prometheus() -> None:
    assert expand_promql("rate(a[$__rate_interval])", 20) == "rate(a[20s])"
    with pytest.raises(UnknownMacroError):
        expand_promql("rate(a[$__range])", 20)
