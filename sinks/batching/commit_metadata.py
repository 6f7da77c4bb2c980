"""What is committed to Kafka beside an offset: the end of the batch about to be written, and the watermark.

Written before the batch's INSERT, read by whoever owns the partition after a crash: [offset, end) is read again and
sent as the identical batch.
"""

import re
from dataclasses import dataclass
from typing import Final

from sinks.batching import watermark

_FORMAT: Final = re.compile(r"tally1 end=(-|\d{1,19}) watermark=(-1|\d{1,19}) doubt=(\d{1,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """end: None when everything before the offset is written and nothing is under way.

    doubt_end: batches that start below it may be in the table though no plan says so; 0 ordinarily, the end of the log
    when a group without plans of ours was taken over, as after a reset of its offsets by hand.
    """

    end: int | None
    watermark: int = watermark.NONE
    doubt_end: int = 0

    def encode(self) -> str:
        """The metadata of a commit."""
        return f"tally1 end={'-' if self.end is None else self.end} watermark={self.watermark} doubt={self.doubt_end}"


def decode(metadata: str | None) -> CommitMetadata | None:
    """The plan in a commit's metadata; None when it holds none, as after a reset of the group's offsets by hand."""
    match = _FORMAT.fullmatch(metadata or "")
    if match is None:
        return None
    end, mark, doubt = match.groups()
    return CommitMetadata(None if end == "-" else int(end), int(mark), int(doubt))
