"""`make run`: the whole way on this machine, with events from SDKs that Tally did not write."""
