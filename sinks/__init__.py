"""Topics → database, in micro-batches cut by offset; each enriched event becomes one row."""
