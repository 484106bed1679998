"""How often one caller may ask: codeQ's limits, its answer, and bounded memory."""

from pathlib import Path

import msgspec
from tests.queue.support import serving
from tests.queue.test_auth import EVERYTHING, KEY, minted

from backstay.core.context import Principal, RequestContext
from backstay.core.virtual import VirtualClock
from backstay.queue.api.rates import Rate, RateLimits


def asking(name: str) -> RequestContext:
    return RequestContext("r", Principal("user", sub=name))


class Limited:
    def __init__(self, callers: int = 10, burst: float = 2) -> None:
        self.clock = VirtualClock()
        self.hits: list[tuple[str, str]] = []
        rates = {"worker": Rate(60, burst), "producer": Rate(0, 5), "admin": Rate(5, 0)}
        self.limits = RateLimits(rates, self.clock, lambda *hit: self.hits.append(hit), callers)

    def may(self, name: str, side: str = "worker") -> bool:
        return self.limits.refusal(side, "claim", asking(name)) is None


async def test_a_caller_has_a_burst_and_then_a_rate_of_its_own():
    limited = Limited()
    assert [limited.may("a") for _ in range(3)] == [True, True, False]
    assert limited.may("b")
    await limited.clock.advance(1.0)
    assert [limited.may("a") for _ in range(2)] == [True, False]
    assert limited.hits == [("worker", "claim")] * 2


def test_a_limit_of_zero_is_none():
    limited = Limited()
    assert all(limited.may("a", side) for side in ("producer", "admin") for _ in range(100))


async def test_many_callers_take_bounded_memory_and_newcomers_do_not_reset_anybody():
    limited = Limited(callers=3)
    for name in "abc":
        assert [limited.may(name) for _ in range(3)] == [True, True, False]
    # Everybody who is remembered is busy: those who come now share one bucket.
    assert [limited.may(name) for name in "defg"] == [True, True, False, False]
    assert not limited.may("a")
    await limited.clock.advance(60.0)
    # Whoever was idle long enough is as good as new and makes room.
    assert [limited.may("h") for _ in range(3)] == [True, True, False]
    assert limited.may("a")


def test_a_refusal_says_when_to_come_back(tmp_path: Path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "rateLimit:\n  producer: {requestsPerMinute: 6, burstSize: 2}\n"
        "  worker: {requestsPerMinute: 6, burstSize: 1}\n"
        "  admin: {requestsPerMinute: 6, burstSize: 1}\n"
    )
    env = {"JWT_SECRET": KEY}
    with serving(tmp_path / "data", "--config", str(config), env=env) as server:
        one, other = minted(EVERYTHING, sub="one"), minted(EVERYTHING, sub="other")
        body = {"command": "A", "payload": 1}
        assert server.post("/tasks", body, **one).status == 202
        # A batch counts as one request.
        assert server.post("/tasks/batch", {"tasks": [body] * 50}, **one).status == 200
        refused = server.post("/tasks", body, **one)
        assert refused.status == 429
        told = refused.json
        assert told["error"] == "rate limit exceeded"
        assert (told["scope"], told["operation"]) == ("producer", "create_task")
        assert 1 <= told["retryAfterSeconds"] <= 10
        assert refused.headers["retry-after"] == str(told["retryAfterSeconds"])
        assert server.post("/tasks", body, **other).status == 202
        # Reading and working are counted apart from creating.
        assert server.get("/tasks", **one).status == 200
        assert server.post("/tasks/claim", {}, **one).status == 200
        assert server.post("/tasks/claim/batch", {"count": 1}, **one).status == 429
        assert server.post("/admin/tasks/cleanup", {}, **one).status == 200
        assert server.post("/admin/tasks/cleanup", {}, **one).status == 429
        text = server.get("/metrics", prefix="").body.decode()
        for scope, operation in (
            ("producer", "create_task"),
            ("worker", "claim"),
            ("admin", "cleanup"),
        ):
            assert (
                f'codeq_rate_limit_hits_total{{scope="{scope}",operation="{operation}"}} 1' in text
            )
        # Who has no valid token is refused as such, and uses nobody's limit.
        assert server.post("/tasks", body).status == 401


def test_the_answer_is_a_problem_like_every_other():
    limited = Limited(burst=1)
    limited.may("a")
    answer = limited.limits.refusal("worker", "claim", asking("a"))
    assert answer is not None
    told = msgspec.json.decode(answer.body)
    assert (told["status"], told["code"], told["retryable"]) == (429, "QUEUE025", True)
