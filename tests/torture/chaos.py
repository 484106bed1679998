"""Ways to hurt a running shop, each for a while, chosen by dice."""

import http.client
import os
import random
import signal
import time
from pathlib import Path

from tests.e2e.customers import Customers, calm, mood
from tests.e2e.promises import why_cancelled
from tests.e2e.stack import Stack, check_shop

CHILDREN = ("queue", "app", "gateway", "payments", "packer")
MOODS: tuple[dict[str, object], ...] = (
    {},
    {},
    {"fail": 503},
    {"drop_answers": True},
    {"delay": 3},
    {"fail": 429},
)


class Chaos:
    """`hurt` does one thing at random. No child is killed so often that it is given up."""

    def __init__(self, stack: Stack, dice: random.Random) -> None:
        self._stack = stack
        self._dice = dice
        self._killed: dict[str, list[float]] = {}
        self.done: list[str] = []

    def kill(self) -> None:
        """kill -9 of a child that was killed at most three times within the last minute."""
        now = time.monotonic()
        fit = [
            name for name in CHILDREN if sum(at > now - 61 for at in self._killed.get(name, ())) < 4
        ]
        if fit:
            name = self._dice.choice(fit)
            if self._stack.kill(name):
                self._killed.setdefault(name, []).append(now)
                self.done.append(f"kill {name}")

    def kill_supervisor(self, times: int = 1) -> None:
        """kill -9 of `backstay up`, `times` in a row before anything is up again."""
        for _ in range(times):
            self._stack.kill_supervisor()
            self._stack.start(wait=0)
            time.sleep(self._dice.uniform(0.0, 1.5))
        self._stack.wait_healthy(60)
        self._killed.clear()
        self.done.append(f"kill supervisor x{times}")

    def freeze(self, seconds: float) -> None:
        """SIGSTOP of a child for a while."""
        name = self._dice.choice(CHILDREN)
        try:
            pid = self._stack.pid(name)
            os.kill(pid, signal.SIGSTOP)
        except (OSError, TypeError, KeyError, ValueError):
            return
        time.sleep(seconds)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            self.done.append(f"{name} was ended while frozen")
        self.done.append(f"freeze {name} {seconds:.1f} s")

    def mood(self) -> None:
        """Payments begin to misbehave, or behave again."""
        chosen = self._dice.choice(MOODS)
        try:
            mood(self._stack, **chosen)
        except (OSError, http.client.HTTPException, KeyError, TypeError):
            return
        self.done.append(f"payments {chosen or 'calm'}")


def restart_given_up(stack: Stack) -> None:
    """What a person does: a process that ended five times in a minute is not started again by
    itself."""
    for name, process in stack.state()["processes"].items():
        if process["state"] == "gave_up":
            done = stack.command("restart", name)
            print("restarted", name, done.returncode, done.stderr[-200:])


def settle(
    stack: Stack, stock: dict[str, int], customers: Customers, chaos: Chaos | None = None
) -> None:
    """All well again, and all promises kept; says what happened."""
    calm(stack)
    restart_given_up(stack)
    # A task that liars and kills had four times waits up to 80 s for its fifth delivery.
    ended = check_shop(stack, stock, customers.accepted, customers.refunded, patience=180.0)
    print(
        f"{chaos.done if chaos else ''} accepted {len(customers.accepted)},"
        f" refunds {len(customers.refunded)}, refused {customers.refused}, unknown"
        f" {customers.unknown}, ended {dict(ended)}, cancelled {dict(why_cancelled(stack.data))}"
    )
    assert ended["fulfilled"] > 0, "nothing was fulfilled: this says nothing"


def stock_of(stack: Stack, products: int = 100) -> dict[str, int]:
    return {product["id"]: product["stock"] for product in stack.products(products)}


def copy_killed(stack: Stack, to: Path) -> None:
    """End everything at once as a power cut would, and copy the data folder as it lies there."""
    stack.kill_supervisor()
    for pid in stack.children():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    while stack.children():
        time.sleep(0.02)
    to.mkdir()
    for file in stack.data.iterdir():
        if file.is_file():
            (to / file.name).write_bytes(file.read_bytes())
