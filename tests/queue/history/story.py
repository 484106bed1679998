"""A history, sorted so that a rule can ask for what it needs."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property

from tests.queue.history.events import Kind, Seen

Queue = tuple[str, str]
INF = math.inf


class Tale:
    """All that was seen of one task, in the order in which it began."""

    def __init__(self, id: str, seen: Sequence[Seen]) -> None:
        self.id = id
        self.seen = sorted(seen, key=lambda each: (each.began, each.ended, each.order))

    @cached_property
    def created(self) -> Seen | None:
        """The first answer that named it. Periodic tasks have a `fire` instead."""
        made = [each for each in self.of("create", "fire") if each.answer == "yes"]
        return min(made, key=lambda each: each.ended, default=None)

    @property
    def queue(self) -> Queue:
        made = self.created
        return (made.owner, made.command) if made else ("", "")

    @property
    def meant_for(self) -> Queue:
        """As `queue`, and known from a creation that was never answered, too."""
        asked = next(iter(self.maybe("create")), None)
        return self.queue if self.created or not asked else (asked.owner, asked.command)

    @cached_property
    def claims(self) -> list[Seen]:
        return self.of("claim")

    @cached_property
    def final(self) -> Seen | None:
        return next(iter(self.of("final")), None)

    def of(self, *kinds: Kind) -> list[Seen]:
        return [each for each in self.seen if each.kind in kinds]

    def maybe(self, *kinds: Kind) -> list[Seen]:
        """Those that happened or may have happened."""
        return [each for each in self.seen if each.kind in kinds and each.answer != "no"]

    def done(self, *kinds: Kind) -> list[Seen]:
        """Those that were answered with yes."""
        return [each for each in self.seen if each.kind in kinds and each.answer == "yes"]

    def maybe_between(self, before: Seen, after: Seen, *kinds: Kind) -> bool:
        """Whether such a thing may have happened after the one and before the other."""
        return any(
            each.began <= after.ended and each.ended >= before.began for each in self.maybe(*kinds)
        )


class Story:
    """A whole history. `drained` says that in the end workers were let finish everything,
    `steady` that nobody set the wall clock."""

    def __init__(
        self, history: Iterable[Seen], *, retention: float, drained: bool, steady: bool
    ) -> None:
        self.seen = list(history)
        self.retention = retention
        self.drained = drained
        self.steady = steady
        by_id: dict[str, list[Seen]] = defaultdict(list)
        for each in self.seen:
            if each.id:
                by_id[each.id].append(each)
        self.tales = [Tale(name, seen) for name, seen in by_id.items()]

    def of(self, kind: Kind) -> list[Seen]:
        return [each for each in self.seen if each.kind == kind]

    @cached_property
    def by_queue(self) -> dict[Queue, list[Tale]]:
        found: dict[Queue, list[Tale]] = defaultdict(list)
        for tale in self.tales:
            found[tale.queue].append(tale)
        return found

    @cached_property
    def purges(self) -> list[Seen]:
        return [each for each in self.of("purge") if each.answer != "no"]

    @cached_property
    def last(self) -> float:
        return max((each.began for each in self.seen), default=0.0)

    def may_be_forgotten(self, tale: Tale) -> bool:
        """Whether a purge or retention may have taken this task: only after it may have ended."""
        ends = [
            *tale.maybe("finish", "cancel"),
            *(e for e in tale.maybe("nack") if e.state != "delayed"),
        ]
        ends += [claim for claim in tale.claims if claim.attempts >= claim.max_attempts]
        ends += self.lost_claims(tale.queue)
        if not ends:
            return False
        began = min(end.began for end in ends)
        return self.last - began >= self.retention or any(
            purge.ended >= began and purge.command in ("", tale.queue[1]) for purge in self.purges
        )

    def lost_claims(self, queue: Queue) -> list[Seen]:
        """Claims without an answer that may hold tasks of this queue."""
        return [
            each
            for each in self.of("claim")
            if each.answer == "unknown"
            and (not each.commands or queue[1] in each.commands)
            and each.tenant in ("*", queue[0])
        ]
