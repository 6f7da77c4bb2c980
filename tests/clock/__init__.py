"""The tests on another date: `python -m tests.clock DAY COMMAND …` moves the clock of all that the command starts."""
