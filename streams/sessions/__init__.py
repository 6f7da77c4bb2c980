"""What is remembered of a visitor, how events are folded into it, and the rows of `sessions` that come out.

Pure: knows no Kafka, no Faust, no clock, and not where events come from.
"""
