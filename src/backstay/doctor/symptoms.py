"""What the user saw, as evidence: an error text or a status picks the guides that know it."""

import re
from collections.abc import Iterable, Sequence

from backstay.core.guide import Evidence, Guide, Symptom
from backstay.core.probing import seen
from backstay.doctor.belief import NAMED, SYMPTOM


def named(guides: Sequence[Guide], text: str) -> list[Evidence]:
    """One piece of evidence for each guide that has a symptom matching `text`."""
    return list(_named(guides, text)) if text.strip() else []


def _named(guides: Sequence[Guide], text: str) -> Iterable[Evidence]:
    for guide in guides:
        hit = next((one for one in guide.symptoms if _matches(one, text)), None)
        if hit is not None:
            yield seen(f"{SYMPTOM}{guide.id}", NAMED, "warn", text, says=hit.says, text=text[:500])


def _matches(symptom: Symptom, text: str) -> bool:
    if symptom.kind == "text":
        return re.search(symptom.match, text, re.IGNORECASE) is not None
    if symptom.kind == "status":
        return re.search(rf"\b{re.escape(symptom.match)}\b", text) is not None
    return False
