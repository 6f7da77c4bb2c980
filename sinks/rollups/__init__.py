"""The roll-ups `events_hourly` and `events_daily`: kept equal to the events by comparing them, day by day."""
