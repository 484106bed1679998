"""Each rule by a history made by hand that just breaks it, and one that just does not."""

import msgspec
import pytest
from tests.queue.history.checker import check
from tests.queue.history.events import Kind, Seen

from backstay.queue.model import Policy

INF = float("inf")


class Book:
    """Writes a history; each record takes one second of `at`."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._requests = 0

    def note(self, kind: Kind, at: float, **fields: object) -> Seen:
        self._requests += 1
        ended = INF if fields.get("answer") == "unknown" else at + 0.5
        common = {"owner": "a", "tenant": "a", "command": "PACK", "max_attempts": 3, "id": "t1"}
        values = common | {"began": at, "ended": ended, "request": self._requests} | fields
        seen = Seen(kind, **values)  # type: ignore[arg-type]
        self.seen.append(seen)
        return seen

    def create(self, at: float, **fields: object) -> Seen:
        return self.note("create", at, **{"state": "ready", "wall": at, **fields})

    def claim(self, at: float, **fields: object) -> Seen:
        token = f"k{at}"
        given = {"state": "leased", "attempts": 1, "seconds": 10.0, "token": token, "wall": at}
        return self.note("claim", at, **(given | fields))

    def finish(self, at: float, claim: Seen, **fields: object) -> Seen:
        given = {"state": "completed", "result": "1", "token": claim.token, "id": claim.id}
        return self.note("finish", at, **(given | fields))

    def final(self, state: str, **fields: object) -> Seen:
        return self.note("final", 1000.0, **{"state": state, "result": "1", **fields})

    def broken(self, **how: object) -> set[str]:
        return {violation.rule for violation in check(self.seen, **how)}  # type: ignore[arg-type]


@pytest.fixture
def book() -> Book:
    return Book()


def test_an_ordinary_life_breaks_nothing(book: Book):
    book.create(0)
    book.finish(2, book.claim(1))
    book.final("completed")
    assert book.broken(drained=True) == set()


def test_an_accepted_task_that_is_gone_or_stuck(book: Book):
    book.create(0)
    book.final("completed", id="another")
    assert book.broken() == {"fate"}
    book.final("ready", result="")
    assert book.broken() == set()
    assert book.broken(drained=True) == {"fate"}


def test_an_unanswered_creation_promises_nothing(book: Book):
    book.create(0, answer="unknown")
    book.final("ready", id="another")
    assert book.broken() == set()


def test_what_ended_may_go_after_its_retention_and_not_before(book: Book):
    book.create(0)
    book.finish(2, book.claim(1))
    book.final("ready", id="another")
    assert book.broken(retention=2000.0) == {"fate"}
    assert book.broken(retention=900.0) == set()


@pytest.mark.parametrize("state", ["completed", "failed", "dead", "cancelled"])
def test_an_end_that_nobody_made(book: Book, state: str):
    book.create(0)
    book.final(state)
    assert book.broken() == {"fate"}


def test_two_living_leases(book: Book):
    book.create(0)
    book.claim(1)
    book.claim(5, attempts=2)
    assert book.broken() == {"lease"}


def test_a_lease_may_follow_one_that_ended_or_may_have_ended(book: Book):
    book.create(0)
    book.claim(1)
    claim = book.claim(11.1, attempts=2)
    book.note("nack", 12, token=claim.token, answer="unknown")
    book.claim(13, attempts=3)
    assert book.broken() == set()


def test_of_two_heartbeats_at_once_the_shorter_may_be_the_one_that_counts(book: Book):
    """Found by the simulation at seed 161212007038861: one of a batch, and one beside it."""
    book.create(0)
    claim = book.claim(1)
    book.note("extend", 2, token=claim.token, seconds=1.0)
    book.note("extend", 2, token=claim.token, seconds=9.0, order=1)
    book.claim(4, attempts=2)
    assert book.broken() == set()


def test_of_two_heartbeats_in_one_request_the_second_counts(book: Book):
    book.create(0)
    claim = book.claim(1)
    book.note("extend", 2, token=claim.token, seconds=1.0, request=9)
    book.note("extend", 2, token=claim.token, seconds=9.0, request=9, order=1)
    book.claim(4, attempts=2)
    assert book.broken() == {"lease"}


def test_a_heartbeat_that_was_answered_holds_the_lease(book: Book):
    book.create(0)
    claim = book.claim(1)
    book.note("extend", 9, token=claim.token, seconds=10.0)
    book.claim(12, attempts=2)
    assert book.broken() == {"lease"}


def test_a_result_that_is_followed_by_a_delivery_or_a_second_result_or_lost(book: Book):
    book.create(0)
    claim = book.claim(1)
    first = book.finish(2, claim)
    good = list(book.seen)
    again = book.finish(4, claim)
    assert book.broken() == set(), "the same once more is an answer that was lost"
    book.seen = [*good, msgspec.structs.replace(again, result="2")]
    assert book.broken() == {"result"}
    book.seen = list(good)
    book.claim(20, attempts=2)
    assert book.broken() == {"result"}
    book.note("redrive", 15)
    assert book.broken() == set()
    book.seen = list(good)
    book.final("cancelled", result="")
    assert "result" in book.broken()
    assert first.result == "1"


def test_more_deliveries_than_attempts(book: Book):
    book.create(0, max_attempts=2)
    for number in (1, 2, 3):
        book.claim(20.0 * number, attempts=min(number, 2), max_attempts=2)
    assert book.broken() == {"attempts"}
    book.note("abandon", 25, token="k20.0")
    assert book.broken() == set()


def test_a_delayed_task_that_comes_early(book: Book):
    book.create(1, state="delayed", due_at=100.0)
    book.claim(99.0)
    assert book.broken() == {"due"}
    assert book.broken(steady=False) == set()
    book.note("reschedule", 50)
    assert book.broken() == set()


def test_a_task_that_is_overtaken(book: Book):
    book.create(0, id="first")
    book.create(2, id="second")
    book.claim(4, id="second")
    assert book.broken() == {"order"}
    book.note("policy", 3, policy=Policy("a", "PACK", key_concurrency=1))
    assert book.broken() == set()


def test_one_that_is_overtaken_by_priority_or_while_it_is_held(book: Book):
    book.create(0, id="first")
    book.create(2, id="second", priority=9)
    book.claim(4, id="second", priority=9)
    book.claim(6, id="first")
    book.create(8, id="third")
    book.claim(10, id="third")
    assert book.broken() == set()


def test_a_foreign_task(book: Book):
    book.create(0)
    book.note("cancel", 2, tenant="b", answer="no", owner="")
    assert book.broken() == set()
    book.claim(4, tenant="b")
    assert book.broken() == {"tenant"}


def test_a_key_that_makes_two_tasks_or_stands_for_two_bodies(book: Book):
    book.create(0, once="k", fingerprint="f")
    book.create(2, once="k", fingerprint="f")
    assert book.broken() == set()
    book.create(4, once="k", fingerprint="g")
    assert book.broken() == {"once"}
    book.seen.pop()
    book.create(4, once="k", fingerprint="f", id="t2")
    assert book.broken() == {"once"}


def test_bounds_of_leases_and_of_keys(book: Book):
    book.note("policy", 0, policy=Policy("a", "PACK", concurrency=2, key_concurrency=1))
    for number, key in enumerate(("x", "y")):
        book.create(number, id=key, key=key)
        book.claim(5 + number, id=key, key=key)
    assert book.broken() == set()
    book.create(2, id="z", key="y")
    book.claim(8, id="z", key="y")
    assert [found.says for found in check(book.seen)] == [
        "3 of 2 run in PACK",
        "2 of 1 run for key y",
    ]


def test_a_pause_and_a_rate(book: Book):
    for number in range(4):
        book.create(number, id=f"t{number}")
    book.note("policy", 10, policy=Policy("a", "PACK", rate=0.1, burst=1))
    book.claim(20, id="t0")
    book.claim(31, id="t1")
    assert book.broken() == set()
    book.claim(33, id="t2")
    assert book.broken() == {"bounds"}
    book.seen.pop()
    book.note("policy", 40, policy=Policy("a", "PACK", paused=True))
    book.claim(50, id="t2")
    assert book.broken() == {"bounds"}


def test_a_fire_time_that_fires_twice(book: Book):
    book.note("fire", 0, once="nightly", due_at=60.0)
    book.note("fire", 2, once="nightly", due_at=120.0, id="t2")
    assert book.broken() == set()
    book.note("fire", 4, once="nightly", due_at=120.0, id="t3")
    assert book.broken() == {"fire"}


def test_an_end_that_nobody_was_told(book: Book):
    book.create(0, webhook=True)
    book.finish(2, book.claim(1))
    book.final("completed")
    assert book.broken() == {"callback"}
    book.note("owed", 1000)
    assert book.broken() == set()
    book.seen.pop()
    book.note("call", 50, state="completed")
    assert book.broken() == set()


def test_a_task_whose_creation_and_claim_were_never_answered_may_die_and_be_told(book: Book):
    """Found by history 47615427917737: both were durable, and its only lease ended."""
    book.create(0, answer="unknown")
    book.claim(1, answer="unknown", id="", command="", commands=(), state="")
    book.note("call", 60, state="dead")
    book.final("dead", attempts=3)
    assert book.broken() == set()
    book.note("call", 61, id="t2", owner="b", state="dead")
    assert book.broken() == {"callback"}
