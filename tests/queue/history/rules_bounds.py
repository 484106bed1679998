"""Promises about a queue: order, and the bounds of its policy."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.queue.history.events import Seen, Violation
from tests.queue.history.leases import Lease, leases
from tests.queue.history.story import INF, Queue, Story, Tale

from backstay.queue.model import ANY_TENANT, Policy


class Waiting(NamedTuple):
    """A task that certainly was ready, never delivered, from one moment to another."""

    created: Seen
    since: float
    until: float


def order_is_kept(story: Story) -> Iterator[Violation]:
    """Inside a tenant and command: priority, then due time, then arrival."""
    bounded = {each.command for each in story.of("policy") if _bounds_something(each.policy)}
    for queue, tales in story.by_queue.items():
        if queue[1] in bounded:
            continue  # who is at a bound may be passed over
        waiting = [found for tale in tales if (found := _waiting(story, queue, tale))]
        for tale in tales:
            for claim in tale.claims:
                yield from _overtaken(tale, claim, waiting)


def _bounds_something(policy: Policy | None) -> bool:
    return policy is not None and (
        policy.paused
        or any((policy.concurrency, policy.rate, policy.key_concurrency, policy.key_rate))
    )


def _waiting(story: Story, queue: Queue, tale: Tale) -> Waiting | None:
    created = tale.created
    if created is None or created.state != "ready":
        return None
    first = next(iter(tale.claims), None)
    if first is not None and first.attempts != 1:
        return None  # it was delivered unseen before
    touched = tale.maybe("claim", "cancel", "reschedule", "redrive")
    ends = [each.began for each in touched]
    if story.may_be_forgotten(tale):
        ends += [each.began for each in story.purges]
    until = min(ends, default=INF)
    # A claim that nobody was answered may have had it, and its server may have taken it back.
    lost = (each for each in story.lost_claims(queue) if each.ended > created.began)
    return Waiting(created, created.ended, min([until, *(each.began for each in lost)]))


def _overtaken(tale: Tale, claim: Seen, waiting: list[Waiting]) -> Iterator[Violation]:
    made = tale.created
    if made is None:
        return  # its creation was never answered
    due = claim.due_at or made.wall
    for other in waiting:
        if not (other.since < claim.began and claim.ended < other.until):
            continue
        first = other.created
        if first.id == tale.id or first.priority < claim.priority:
            continue
        same = first.priority == claim.priority
        together = first.request and first.request == made.request
        earlier = first.ended < made.began or (together and first.order < made.order)
        if not same or first.wall < due or (first.wall == due and earlier):
            says = f"{tale.id} was served before {first.id}, which was ready and comes first"
            yield Violation("order", says, (first, claim))


def bounds_hold(story: Story) -> Iterator[Violation]:
    """At every moment: a paused queue gives nothing, a full one nothing more, and no faster."""
    for queue, tales in story.by_queue.items():
        spans = list(_spans(story, queue))
        if not spans:
            continue
        held = [lease for tale in tales for lease in leases(story, tale)]
        for policy, since, until in spans:
            claims = [
                lease.claim
                for lease in held
                if lease.claim.began > since and lease.claim.ended < until
            ]
            if policy.paused and claims:
                yield Violation("bounds", f"{queue} is paused and gave", claims)
            yield from _too_many(policy, claims, held)
            yield from _too_fast(story, policy, claims)


def _spans(story: Story, queue: Queue) -> Iterator[tuple[Policy, float, float]]:
    """Policies that certainly hold for this queue, and from when to when. A policy of all tenants
    bounds it only while it has none of its own; that is judged where it never has one."""
    tenant, command = queue
    changes = [each for each in story.of("policy") if each.policy and each.command == command]
    own = [each for each in changes if each.owner == tenant]
    shared = [each for each in changes if each.owner == ANY_TENANT]
    for sets in (own, shared):
        for each in sets:
            later = [
                other.began for other in sets if other is not each and other.ended >= each.ended
            ]
            earlier_unknown = any(
                other.answer == "unknown" and other.began < each.ended
                for other in sets
                if other is not each
            )
            policy = each.policy
            if each.answer != "yes" or earlier_unknown or policy is None:
                continue
            if sets is shared and own:
                policy = Policy(policy.tenant, policy.command, paused=policy.paused)
            yield policy, each.ended, min(later, default=INF)


def _too_many(policy: Policy, claims: list[Seen], held: list[Lease]) -> Iterator[Violation]:
    for claim in claims:
        # With those of the same answer: they were all given at one moment.
        living = [
            lease.claim
            for lease in held
            if lease.claim is claim
            or (lease.start <= claim.began and lease.end > claim.ended)
            or (lease.claim.request == claim.request and lease.claim.order < claim.order)
        ]
        same_key = [each for each in living if each.key and each.key == claim.key]
        if policy.concurrency and len(living) > policy.concurrency:
            says = f"{len(living)} of {policy.concurrency} run in {policy.command}"
            yield Violation("bounds", says, living)
        if policy.key_concurrency and len(same_key) > policy.key_concurrency:
            says = f"{len(same_key)} of {policy.key_concurrency} run for key {claim.key}"
            yield Violation("bounds", says, same_key)


def _too_fast(story: Story, policy: Policy, claims: list[Seen]) -> Iterator[Violation]:
    keys = {claim.key for claim in claims if claim.key} if policy.key_rate else set()
    if policy.rate:
        yield from _faster(story, claims, policy.rate, policy.burst)
    for key in keys:
        chosen = [claim for claim in claims if claim.key == key]
        yield from _faster(story, chosen, policy.key_rate, policy.burst)


def _faster(story: Story, claims: list[Seen], rate: float, burst: int) -> Iterator[Violation]:
    """In any span no more than a burst and what the rate adds; a restart may forget one burst."""
    burst = max(1, burst)
    claims = sorted(claims, key=lambda claim: claim.ended)
    restarts = story.of("restart")
    for first, start in enumerate(claims):
        for count, end in enumerate(claims[first:], 1):
            forgot = sum(each.ended >= start.began and each.began <= end.ended for each in restarts)
            allowed = burst * (1 + forgot) + rate * (end.ended - start.began)
            if count > allowed + 1e-6:
                says = f"{count} claims within {end.ended - start.began} s"
                yield Violation("bounds", says, claims[first : first + count])
                return
