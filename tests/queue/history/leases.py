"""From when to when a worker certainly held a task."""

from typing import NamedTuple

from tests.queue.history.events import Seen
from tests.queue.history.story import Story, Tale


class Lease(NamedTuple):
    """Certainly alive from the claim's answer to the earliest moment at which it may have ended."""

    claim: Seen
    start: float
    end: float


def leases(story: Story, tale: Tale) -> list[Lease]:
    """Of one task, in the order of their claims."""
    jumped = [each.began for each in story.of("restart") if each.state == "jumped"]
    return [Lease(claim, claim.ended, _end(tale, claim, jumped)) for claim in tale.claims]


def _end(tale: Tale, claim: Seen, jumped: list[float]) -> float:
    end = claim.began + claim.seconds
    renewals: list[Seen] = []
    for each in tale.seen:
        if each.began < claim.began or each.answer == "no":
            continue
        # Without a token (older clients) the owner of the living lease speaks.
        mine = each.token == claim.token or (not each.token and each.who == claim.who)
        if each.kind == "extend" and mine:
            renewed = each.began + each.seconds
            # Without an answer, or beside another one, it may only have made it shorter.
            last = each.answer == "yes" and not any(_beside(each, other) for other in renewals)
            end = renewed if last else min(end, renewed)
            renewals.append(each)
        elif each.kind == "cancel" or (each.kind in ("finish", "nack", "abandon") and mine):
            end = min(end, each.began)
            break
    # What was left is counted from the wall clock at a start; a clock set forward meanwhile eats it.
    return min([end, *(at for at in jumped if at >= claim.began)])


def _beside(one: Seen, other: Seen) -> bool:
    """Whether nobody can say from outside which of two answered requests came last."""
    return other.answer == "yes" and other.request != one.request and other.ended > one.began
