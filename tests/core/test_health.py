"""Health as a snapshot: never slower than memory, never greener than what was seen."""

import asyncio

import msgspec

from backstay.core.health import Board, Check, Finding
from backstay.core.virtual import VirtualClock


async def _passes() -> Finding:
    return Finding("pass", facts={"open_connections": 1})


async def _fails() -> Finding:
    return Finding("fail", error="database ping failed")


async def _hangs() -> Finding:
    await asyncio.sleep(3600)
    return Finding("pass")


async def _breaks() -> Finding:
    raise ConnectionError("refused")


def _check(name: str, run: object, critical: bool = True, deadline: float = 0.05) -> Check:
    return Check(name=name, critical=critical, deadline=deadline, every=5.0, run=run)  # type: ignore[arg-type]


async def test_nothing_is_green_before_it_was_checked() -> None:
    board = Board(VirtualClock(), "1.0.0", [_check("database", _passes)])
    assert not board.ready()
    assert board.report().status == "degraded"
    assert board.report().checks["database"]["status"] == "unknown"


async def test_a_failing_critical_check_is_unhealthy_and_503() -> None:
    board = Board(VirtualClock(), "1.0.0", [_check("database", _fails), _check("disk", _passes)])
    await board.step()
    report = board.report()
    assert (report.status, report.http_status) == ("unhealthy", 503)
    assert report.checks["database"]["error"] == "database ping failed"
    assert not board.ready()


async def test_any_other_failing_check_is_degraded_and_200() -> None:
    board = Board(VirtualClock(), "1.0.0", [_check("cache", _fails, critical=False)])
    await board.step()
    assert (board.report().status, board.report().http_status) == ("degraded", 200)
    assert board.ready()


async def test_a_check_that_hangs_or_breaks_is_a_finding() -> None:
    board = Board(VirtualClock(), "1", [_check("slow", _hangs), _check("broken", _breaks)])
    await board.step()
    assert board.finding("slow").error == "no answer within 50ms"
    assert board.finding("broken").error == "refused"


async def test_an_old_finding_is_not_green() -> None:
    clock = VirtualClock()
    board = Board(clock, "1", [_check("database", _passes)])
    await board.step()
    clock.advance_now(36.0)
    assert board.report(max_age=30.0).checks["database"]["status"] == "unknown"


async def test_the_body_has_the_shape_that_people_pipe_into_jq() -> None:
    clock = VirtualClock()
    board = Board(clock, "1.0.0", [_check("database", _passes)])
    await board.step()
    clock.advance_now(3.0)
    body = msgspec.json.decode(msgspec.json.encode(board.report()))
    assert body["timestamp"].endswith("Z")
    assert "." not in body["timestamp"]
    assert (body["version"], body["uptime"]) == ("1.0.0", "3s")
    assert body["checks"]["database"]["status"] == "healthy"
    assert isinstance(body["checks"]["database"]["duration"], str)
    assert body["checks"]["database"]["details"] == {"open_connections": 1}


async def test_checks_run_again_when_they_are_due() -> None:
    clock = VirtualClock()
    seen: list[float] = []

    async def count() -> Finding:
        seen.append(clock.tick())
        return Finding("pass")

    board = Board(clock, "1", [_check("database", count)])
    wish = await board.step()
    assert wish == clock.tick() + 5.0
    clock.advance_now(2.0)
    await board.step()
    assert len(seen) == 1
    clock.advance_now(3.0)
    await board.step()
    assert len(seen) == 2
