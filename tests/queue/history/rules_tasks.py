"""Promises about one task at a time."""

from collections import defaultdict
from collections.abc import Iterator

from tests.queue.history.events import Seen, Violation
from tests.queue.history.leases import Lease, leases
from tests.queue.history.story import Story, Tale

from backstay.queue.model import ENDED


def every_task_has_a_fate(story: Story) -> Iterator[Violation]:
    """An accepted task was done once, is a dead letter, was cancelled, or can still be claimed."""
    if not story.of("final"):
        return
    for tale in story.tales:
        final = tale.final
        if tale.created is None:
            continue
        if final is None:
            if not story.may_be_forgotten(tale):
                yield Violation("fate", f"{tale.id} was accepted and is gone", tale.seen)
        elif story.drained and final.state not in ENDED:
            yield Violation("fate", f"{tale.id} is left {final.state}", tale.seen)
        elif not _explained(story, tale, final):
            yield Violation("fate", f"{tale.id} is {final.state}, and nobody did that", tale.seen)


def _explained(story: Story, tale: Tale, final: Seen) -> bool:
    if final.state in ("completed", "failed"):
        return any(each.state == final.state for each in tale.maybe("finish"))
    if final.state == "cancelled":
        return bool(tale.maybe("cancel"))
    if final.state == "dead":
        return final.attempts >= final.max_attempts
    return True


def leases_exclude_each_other(story: Story) -> Iterator[Violation]:
    """Never two living leases of one task."""
    for tale in story.tales:
        longest: Lease | None = None
        for lease in sorted(leases(story, tale), key=lambda lease: lease.start):
            if longest is not None and min(longest.end, lease.end) > lease.start:
                says = f"{tale.id} was given away, its lease had {longest.end - lease.start} s left"
                yield Violation("lease", says, (longest.claim, lease.claim))
            if longest is None or lease.end > longest.end:
                longest = lease


def results_stand(story: Story) -> Iterator[Violation]:
    """An acknowledged result is never undone: no second one, no further delivery, no change."""
    for tale in story.tales:
        finishes = tale.done("finish")
        for accepted in finishes:
            yield from _undone(tale, accepted, finishes)


def _undone(tale: Tale, accepted: Seen, finishes: list[Seen]) -> Iterator[Violation]:
    for other in finishes:
        later = other.began > accepted.ended
        if later and _differs(other, accepted) and not _redriven(tale, accepted, other):
            yield Violation("result", f"{tale.id} has two results", (accepted, other))
    for claim in tale.claims:
        if claim.began > accepted.ended and not _redriven(tale, accepted, claim):
            says = f"{tale.id} was delivered again after its result was accepted"
            yield Violation("result", says, (accepted, claim))
    final = tale.final
    if final is not None and not _redriven(tale, accepted, final) and _differs(final, accepted):
        yield Violation("result", f"the accepted result of {tale.id} is undone", (accepted, final))


def _differs(other: Seen, accepted: Seen) -> bool:
    return (other.state, other.result) != (accepted.state, accepted.result)


def _redriven(tale: Tale, before: Seen, after: Seen) -> bool:
    return tale.maybe_between(before, after, "redrive")


def attempts_count_deliveries(story: Story) -> Iterator[Violation]:
    """`max_attempts` bounds them; only an abandon inside the lease gives one back."""
    for tale in story.tales:
        count, since = 0, 0.0
        redrives = [each.began for each in tale.maybe("redrive")]
        for claim in tale.claims:
            if any(since <= began <= claim.ended for began in redrives):
                count = 0
            since = claim.began
            count += 1
            given_back = sum(each.began <= claim.ended for each in tale.maybe("abandon"))
            if claim.attempts > claim.max_attempts:
                yield Violation("attempts", f"{tale.id} was delivered too often", tale.claims)
            if claim.attempts < count - given_back:
                says = f"delivery {count} of {tale.id} is counted as {claim.attempts}"
                yield Violation("attempts", says, tale.claims)


def time_is_waited_for(story: Story) -> Iterator[Violation]:
    """No delivery before the due time, be it of the creation or of a retry. What was due once stays
    so when the clock is set back; then nothing can be said from outside."""
    if not story.steady:
        return
    for tale in story.tales:
        created = tale.created
        moved = tale.maybe("reschedule", "redrive")
        for claim in tale.claims:
            delayed = created is not None and created.state == "delayed"
            waits = [(created, created.due_at)] if created and delayed else []
            waits += [(each, each.wall + each.seconds) for each in tale.done("nack")]
            for cause, due_at in waits:
                early = claim.wall and cause.wall and claim.wall < due_at - 1e-6
                if (
                    early
                    and claim.began > cause.ended
                    and not any(
                        each.began <= claim.ended and each.ended >= cause.began for each in moved
                    )
                ):
                    yield Violation("due", f"{tale.id} came early", (cause, claim))


def tenants_are_apart(story: Story) -> Iterator[Violation]:
    """Nobody gets, reads or changes another tenant's task."""
    for tale in story.tales:
        owner = tale.created.owner if tale.created else ""
        for each in tale.seen:
            if each.answer != "yes" or each.kind in ("final", "owed", "call"):
                continue
            foreign = each.tenant not in ("*", each.owner) or (owner and each.owner != owner)
            if each.owner and foreign:
                yield Violation("tenant", f"{tale.id} of {owner} was {each.kind}d", (each,))


def keys_make_one_task(story: Story) -> Iterator[Violation]:
    """One (tenant, command, idempotency key) is one task, and one body."""
    made: dict[tuple[str, str, str], list[Seen]] = defaultdict(list)
    tales = {tale.id: tale for tale in story.tales}
    for each in story.of("create"):
        if each.once and each.answer == "yes":
            made[each.owner, each.command, each.once].append(each)
    for name, answers in made.items():
        if any(story.may_be_forgotten(tales[each.id]) for each in answers):
            continue
        if len({each.id for each in answers}) > 1:
            yield Violation("once", f"{name} made more than one task", answers)
        if len({each.fingerprint for each in answers}) > 1:
            yield Violation("once", f"{name} stands for different bodies", answers)


def fire_times_make_one_task(story: Story) -> Iterator[Violation]:
    """However many servers look at the calendar. `once` holds the name, `due_at` the time."""
    made: dict[tuple[str, str, float], list[Seen]] = defaultdict(list)
    gone = {tale.id for tale in story.tales if story.may_be_forgotten(tale)}
    for each in story.of("fire"):
        if each.answer == "yes" and each.id not in gone:
            made[each.owner, each.once, each.due_at].append(each)
    for name, fires in made.items():
        if len({each.id for each in fires}) > 1:
            yield Violation("fire", f"{name} made more than one task", fires)


def callbacks_are_owed(story: Story) -> Iterator[Violation]:
    """Each ending of a task with a webhook was told to it, or still waits to be told."""
    if not story.of("final"):
        return
    for tale in story.tales:
        calls, owed = tale.of("call"), tale.of("owed")
        lost = calls and story.lost_claims(tale.meant_for)
        for call in calls:
            if not tale.maybe("finish", "cancel", "nack", "claim") and not lost:
                yield Violation("callback", f"{tale.id} was told ended and is not", (call,))
        final = tale.final
        if tale.created is None or not tale.created.webhook or final is None:
            continue
        if final.state in ENDED and not owed and not any(_told(call, final) for call in calls):
            says = f"nobody was told that {tale.id} is {final.state}"
            yield Violation("callback", says, (final, *calls))


def _told(call: Seen, final: Seen) -> bool:
    """A dead letter is FAILED to whoever knows codeQ's words only."""
    return call.state in ({"failed", "dead"} if final.state == "dead" else {final.state})
