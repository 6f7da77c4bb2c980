"""`python -m streams carry`: the states of one generation become those of the next, which then forgets nothing."""
