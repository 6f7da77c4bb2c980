"""Of the records with one Kafka key in a batch, only the newest version is a row."""

from collections.abc import Callable, Sequence

from sinks.batching.batch import Rows

# The versions of framed records; None for one that cannot be decoded.
Versions = Callable[[Sequence[bytes]], Sequence[int | None]]


def newest(rows: Rows, versions: Versions) -> Rows:
    """Of each key the row with the largest version, of equal ones the later.

    Offsets do not tell: a worker that was paused may publish an old version after the new owner published a newer one.
    Only rows whose key stands more than once are decoded. Rows without a key, and rows that cannot be decoded, stay:
    what is wrong with those is for the database to say.
    """
    if len(set(rows.keys)) == len(rows.keys):
        return rows
    places: dict[bytes | None, list[int]] = {}
    for index, key in enumerate(rows.keys):
        places.setdefault(key, []).append(index)
    rivals = [index for key, indexes in places.items() if key is not None and len(indexes) > 1 for index in indexes]
    version_of = dict(zip(rivals, versions([rows.values[index] for index in rivals]), strict=True))
    kept = set(range(len(rows))) - set(rivals)
    for key, indexes in places.items():
        if key is None or len(indexes) == 1:
            continue
        known = [(version, index) for index in indexes if (version := version_of[index]) is not None]
        kept.update(index for index in indexes if version_of[index] is None)
        if known:
            kept.add(max(known)[1])
    return rows.pick(sorted(kept))
