"""The nearest valid name: what a person most likely meant to type."""

from collections.abc import Iterable

_FEW = 64


def nearest(name: str, known: Iterable[str], most: int = 3) -> str | None:
    """The valid name with the smallest edit distance, if it is small for the length of `name` and
    at most `most`."""
    allowed = min(most, 1 if len(name) < 4 else 2 if len(name) < 9 else 3)
    folded = name.lower()
    close = [other for other in known if abs(len(other) - len(name)) <= allowed]
    # A word is mostly near to nothing. Where few names are looked at, that is known at less cost
    # than the 10 ms of the import; among many, the library is faster.
    if len(close) <= _FEW and all(_too_far(folded, other.lower(), allowed) for other in close):
        return None
    # Imported here: what is correct needs no suggestion and should not pay for one.
    from rapidfuzz.distance import OSA

    best: tuple[int, str] | None = None
    for other in close:
        distance = OSA.distance(folded, other.lower(), score_cutoff=allowed)
        if distance <= allowed and distance < len(name) and (best is None or distance < best[0]):
            best = (distance, other)
    return best[1] if best else None


def _too_far(one: str, other: str, allowed: int) -> bool:
    """Whether more than `allowed` letters of either are not in the other: each needs an edit."""
    left = other
    for letter in one:
        left = left.replace(letter, "", 1)
    common = len(other) - len(left)
    return max(len(one), len(other)) - common > allowed
