"""raw_events → everything derived: deduplicate, enrich, sessionize and stitch, one chunk at a time."""
