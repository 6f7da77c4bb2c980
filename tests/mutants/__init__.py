"""Faults planted one at a time, to see whether the tests that guard a promise turn red."""
