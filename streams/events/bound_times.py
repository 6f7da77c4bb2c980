"""No event is later than when the broker took it: one collector's clock moves nobody's time but its events'. Pure.

Stream time only rises: what is evicted, which message ids are forgotten and which events are late follows the newest
time seen. So a time that others wrote is bounded before anything looks at it.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl


def bound_times(frame: pl.DataFrame, appended_ms: Sequence[int], ahead_ms: int) -> tuple[pl.DataFrame, int]:
    """Give events from beyond the broker's time, by more than `ahead_ms`, that time; how many they were.

    `appended_ms` is that of `Records`, whose places the column `index` names.
    """
    if not appended_ms or frame.is_empty():
        return frame, 0
    appended = np.array(appended_ms, dtype=np.int64)
    if len(appended) != len(frame):
        appended = appended[frame["index"].to_numpy()]
    latest = np.where(appended < 0, np.iinfo(np.int64).max - ahead_ms, appended) + ahead_ms
    ahead = np.zeros(len(frame), dtype=bool)
    bounded: list[pl.Series] = []
    for name in ("timestamp", "received_at"):
        times = frame[name].cast(pl.Int64).to_numpy()
        beyond = times > latest
        if beyond.any():
            ahead |= beyond
            bounded.append(pl.Series(name, np.where(beyond, appended, times)).cast(frame[name].dtype))
    return frame.with_columns(bounded) if bounded else frame, int(ahead.sum())
