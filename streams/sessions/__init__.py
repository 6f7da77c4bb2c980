"""Sessions: what is remembered of a visitor, how events are folded in, and the rows that come out. Pure."""
