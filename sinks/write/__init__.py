"""One batch into a table, exactly once, through `Writer`. Knows no database, and no offset to commit."""
