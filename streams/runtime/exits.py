"""With what a worker ends. A supervisor starts it again after all of these but a wrong setting or topic."""

from enum import IntEnum

from schemas import exits


class Exit(IntEnum):
    """The exit codes of `python -m streams run`; after those from 70 on nothing was committed."""

    TOPICS = 1  # a topic is missing or not as the contract says
    SETTINGS = exits.SETTINGS
    UNREACHABLE = exits.UNREACHABLE
    FAILED = 70  # anything unexpected
    CHUNK_MISSING = 71  # lost between fetch and agent, or table; it is read again
    TOO_MANY_DEAD = 72  # more records would become dead letters than may
    STUCK = 73  # there is work, and nothing moves
    STATES_NOT_ASSIGNED = 74  # a source's partition without that of its changelog; the group divides them anew
    NOT_A_MEMBER = 75  # paused for too long: somebody else owns the partitions and has newer states
    STEP_FAILED = 76  # a step failed on a record that it does not call bad; the log names its place
    STATE_UNREADABLE = 77  # written by a newer release, or damaged; the log names its version and its key
    FOREIGN_RECORDS = 78  # somebody else wrote to our changelogs; what they hold is read again
    INVARIANT_BROKEN = 79  # records stepped over, out of order, or states ahead of their outputs; the log says which
