"""What people ask of states and sessions that are there: `python -m streams state` and `explain`. Changes nothing."""
