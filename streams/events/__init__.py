"""raw_events → enriched_events: the steps of one chunk. Pure: no Kafka, no Faust, no clock."""
