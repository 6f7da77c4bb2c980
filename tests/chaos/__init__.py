"""The proof of the delivery promise: faults at random moments on real servers, then a count of every event."""
