"""All that speaks to ClickHouse: rows in, questions, errors. Knows no consumer. `postgresql/` will stand beside it."""
