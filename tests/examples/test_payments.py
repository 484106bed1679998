"""The payment stand-in keeps its word: what it answered is in the ledger, whatever kills it."""

import itertools
import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PAYMENTS = Path(__file__).parents[2] / "examples" / "orders" / "payments.py"


class Provider:
    """A running payments.py and a client of it."""

    def __init__(self, ledger: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PAYMENTS), "--port", "0", "--ledger", str(ledger)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.base = self.process.stdout.readline().split()[-1]

    def ask(
        self, method: str, path: str, body: Any = None, key: str = "", timeout: float = 10
    ) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self.base + path, method=method)
        if body is not None:
            request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if key:
            request.add_header("Idempotency-Key", key)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def charge(self, order: str, key: str, amount: Any = "12.50") -> tuple[int, dict[str, Any]]:
        body = {"order": order, "amount": amount, "currency": "EUR"}
        return self.ask("POST", "/charges", body, key)

    def refund(self, order: str, key: str) -> tuple[int, dict[str, Any]]:
        return self.ask("POST", "/refunds", {"order": order}, key)

    def totals(self, order: str) -> tuple[str, str]:
        _, totals = self.ask("GET", f"/totals?order={order}")
        return totals["captured"], totals["refunded"]

    def end(self, sign: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(sign)
        code = self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()
        return code


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Provider]]:
    """Starts the provider, each time on the same ledger."""
    running: list[Provider] = []

    def begin() -> Provider:
        running.append(Provider(tmp_path / "payments.db"))
        return running[-1]

    yield begin
    for provider in running:
        if provider.process.poll() is None:
            provider.end(signal.SIGKILL)


def test_the_same_key_charges_once_and_answers_the_same(start: Callable[[], Provider]) -> None:
    provider = start()
    first = provider.charge("o1", "k1")
    assert first == provider.charge("o1", "k1")
    assert first == (
        200,
        {"order": "o1", "state": "captured", "amount": "12.50", "currency": "EUR"},
    )
    assert provider.totals("o1") == ("12.50", "0.00")


def test_a_key_is_not_reused_for_another_charge(start: Callable[[], Provider]) -> None:
    provider = start()
    provider.charge("o1", "k1")
    assert provider.charge("o1", "k1", "13.00")[0] == 422
    assert provider.charge("o2", "k1")[0] == 422
    assert provider.refund("o2", "k1")[0] == 422
    assert provider.totals("o1") == ("12.50", "0.00")


def test_a_refund_with_the_charges_key_gives_back_once(start: Callable[[], Provider]) -> None:
    provider = start()
    provider.charge("o1", "k1")
    first = provider.refund("o1", "k1")
    assert first == (200, {"order": "o1", "state": "refunded", "amount": "12.50"})
    assert provider.refund("o1", "k1") == first
    assert provider.totals("o1") == ("12.50", "12.50")
    assert provider.charge("o1", "k1")[0] == 409


def test_a_refund_before_its_charge_voids_it(start: Callable[[], Provider]) -> None:
    provider = start()
    first = provider.refund("o1", "k1")
    assert first == (200, {"order": "o1", "state": "void", "amount": "0.00"})
    assert provider.refund("o1", "k1") == first
    assert provider.charge("o1", "k1")[0] == 409
    assert provider.totals("o1") == ("0.00", "0.00")


def test_a_refund_by_another_key_gives_back_what_the_order_paid(
    start: Callable[[], Provider],
) -> None:
    provider = start()
    provider.charge("o1", "k1")
    provider.charge("o2", "k2")
    first = provider.refund("o1", "staff-1")
    assert first[1]["state"] == "refunded"
    assert provider.refund("o1", "staff-1") == first
    assert provider.refund("o1", "staff-2")[1]["state"] == "void"
    assert provider.refund("o1", "k1")[1]["state"] == "refunded"
    assert provider.totals("o1") == ("12.50", "12.50")
    assert provider.totals("o2") == ("12.50", "0.00")


def test_a_late_charge_meets_the_void_of_its_compensation(start: Callable[[], Provider]) -> None:
    provider = start()
    provider.ask("POST", "/faults", {"delay": 0.5})
    late: list[int] = []
    caller = threading.Thread(target=lambda: late.append(provider.charge("o1", "k1")[0]))
    caller.start()
    provider.ask("POST", "/faults", {"delay": 0})
    # Whichever comes first, nobody has paid in the end.
    provider.refund("o1", "k1")
    caller.join(10)
    captured, refunded = provider.totals("o1")
    assert captured == refunded
    assert late in ([409], [200])


def test_a_dropped_answer_has_moved_the_money(start: Callable[[], Provider]) -> None:
    provider = start()
    provider.ask("POST", "/faults", {"drop_answers": True})
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        provider.charge("o1", "k1")
    assert provider.totals("o1") == ("12.50", "0.00")
    provider.ask("POST", "/faults", {"drop_answers": False})
    assert provider.charge("o1", "k1")[0] == 200
    assert provider.totals("o1") == ("12.50", "0.00")


def test_told_to_fail_it_moves_nothing_and_stays_healthy(start: Callable[[], Provider]) -> None:
    provider = start()
    assert provider.ask("POST", "/faults", {"fail": 503})[1]["fail"] == 503
    assert provider.charge("o1", "k1")[0] == 503
    assert provider.ask("GET", "/health") == (200, {"status": "ok"})
    assert provider.totals("o1") == ("0.00", "0.00")


@pytest.mark.parametrize(
    ("path", "body", "key", "status"),
    [
        ("/charges", {"order": "o", "amount": "1.00", "currency": "EUR"}, "", 400),
        ("/charges", b"{not json", "k", 400),
        ("/charges", b"[]", "k", 400),
        ("/charges", {"order": "", "amount": "1.00", "currency": "EUR"}, "k", 422),
        ("/charges", {"order": "o", "amount": "1.005", "currency": "EUR"}, "k", 422),
        ("/charges", {"order": "o", "amount": "-1", "currency": "EUR"}, "k", 422),
        ("/charges", {"order": "o", "amount": "NaN", "currency": "EUR"}, "k", 422),
        ("/charges", {"order": "o", "amount": True, "currency": "EUR"}, "k", 422),
        ("/charges", b" " * 70_000, "k", 413),
        ("/faults", {"dealy": 1}, "", 422),
        ("/faults", {"fail": 200}, "", 422),
        ("/nothing", {}, "", 404),
    ],
)
def test_bad_input_is_refused_with_a_reason(
    start: Callable[[], Provider], path: str, body: Any, key: str, status: int
) -> None:
    provider = start()
    assert provider.ask("POST", path, body, key)[0] == status
    assert provider.ask("GET", "/ledger")[1]["entries"] == []


def test_amounts_may_be_text_or_numbers(start: Callable[[], Provider]) -> None:
    provider = start()
    for key, amount in (("a", "0.10"), ("b", 0.1), ("c", 3)):
        assert provider.charge("o1", key, amount)[0] == 200
    assert provider.totals("o1")[0] == "3.20"


def test_sigterm_exits_0(start: Callable[[], Provider]) -> None:
    assert start().end(signal.SIGTERM) == 0


def test_what_was_answered_survives_kill_9(start: Callable[[], Provider]) -> None:
    answered: list[str] = []
    numbers = itertools.count()
    for round_ in range(3):
        provider = start()
        lock = threading.Lock()

        def pay(provider: Provider = provider, lock: threading.Lock = lock) -> None:
            while True:
                key = f"k{next(numbers)}"
                try:
                    status, _ = provider.charge(f"order-{key}", key)
                except OSError:
                    return
                assert status == 200
                with lock:
                    answered.append(key)

        callers = [threading.Thread(target=pay) for _ in range(4)]
        for caller in callers:
            caller.start()
        enough = (round_ + 1) * 40
        while len(answered) < enough:
            callers[0].join(0.002)
        provider.end(signal.SIGKILL)
        for caller in callers:
            caller.join(20)
    entries = start().ask("GET", "/ledger")[1]["entries"]
    captured = [entry["key"] for entry in entries if entry["kind"] == "capture"]
    assert set(answered) <= set(captured)
    assert len(captured) == len(set(captured))
