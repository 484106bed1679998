"""A task queue that keeps the letter of the TaskQueue Protocol and nothing more: it loses,
duplicates and holds back as it is told, and its worker answers as it is told."""

import json
from collections.abc import Callable, Sequence

from backstay.app.ports import OutsideCall, OutsideResult


def parcel(call: OutsideCall) -> OutsideResult:
    """The worker of the example: every order gets a parcel."""
    order = json.loads(call.payload)["order"]
    return OutsideResult(call.key, True, json.dumps({"parcel": f"P-{order}"}))


class Carrier:
    """`lose` calls are taken and forgotten; every outcome comes `copies` times."""

    def __init__(self, worker: Callable[[OutsideCall], OutsideResult | None] = parcel) -> None:
        self.worker = worker
        self.sent: list[str] = []
        self.cancelled: list[str] = []
        self.lose = 0
        self.copies = 1
        self.down = False
        self.forget_acks = 0
        self.worked: dict[str, int] = {}
        self._outcomes: dict[str, OutsideResult] = {}
        self._known: set[str] = set()

    async def send(self, calls: Sequence[OutsideCall]) -> None:
        self._up()
        for call in calls:
            self.sent.append(call.key)
            if self.lose:
                self.lose -= 1
            elif call.key not in self._known:
                self._known.add(call.key)
                self.work(call)

    def work(self, call: OutsideCall) -> None:
        """Let the worker do it now; None is a worker that says nothing."""
        result = self.worker(call)
        self.worked[call.key] = self.worked.get(call.key, 0) + 1
        if result is not None:
            self._outcomes[call.key] = result

    async def outcomes(self, wait: float) -> list[OutsideResult]:
        self._up()
        return [result for result in self._outcomes.values() for _ in range(self.copies)]

    async def ack(self, keys: Sequence[str]) -> None:
        self._up()
        if self.forget_acks:
            self.forget_acks -= 1
            raise ConnectionError("the queue went away before the ack")
        for key in keys:
            self._outcomes.pop(key, None)

    async def cancel(self, keys: Sequence[str]) -> None:
        self._up()
        self.cancelled.extend(keys)

    def _up(self) -> None:
        if self.down:
            raise ConnectionError("the queue is down")
