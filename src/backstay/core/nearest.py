"""The nearest valid name: what a person most likely meant to type."""

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], most: int = 3) -> str | None:
    """The valid name with the smallest edit distance, if it is small for the length of `name` and
    at most `most`."""
    # Imported here: what is correct needs no suggestion and should not pay for one.
    from rapidfuzz.distance import OSA

    allowed = min(most, 1 if len(name) < 4 else 2 if len(name) < 9 else 3)
    best: tuple[int, str] | None = None
    folded = name.lower()
    for other in known:
        if abs(len(other) - len(name)) > allowed:
            continue
        distance = OSA.distance(folded, other.lower(), score_cutoff=allowed)
        if distance <= allowed and distance < len(name) and (best is None or distance < best[0]):
            best = (distance, other)
    return best[1] if best else None
