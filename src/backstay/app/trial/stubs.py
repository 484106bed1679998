"""What a trial calls instead of the world: stubs that the test has put down, and nothing else."""

import msgspec

from backstay.app.flow.integrations import Integrations
from backstay.app.flow.model import Outcome
from backstay.app.flow.turn import Claim
from backstay.app.flow.webhooks import Webhooks
from backstay.app.outside.answers import judge
from backstay.core.http import Answer

Stub = tuple[bytes, int]
"""The body of an answer, and the status."""


class Stubs(Integrations):
    """Integrations that answer as the test says; no connection is ever made."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self._stubs: dict[str, Stub] = {}
        self.unstubbed: list[str] = []
        """Operations that were called although no stub stands for them."""

    def put(self, operation: str, body: object, fails: int) -> None:
        """From here on the operation answers with this JSON, or with the status `fails`."""
        self._stubs[operation] = (b"", fails) if fails else (msgspec.json.encode(body), 200)

    async def call(self, claim: Claim) -> Outcome:
        stub = self._stubs.get(claim.target)
        if stub is None:
            self.unstubbed.append(claim.target)
            return Outcome("failed", error=f"{claim.target} has no stub", final=True)
        body, status = stub
        return judge(claim.target, Answer(status, {}, body, 0.0), 0.0)[0]


class Silent(Webhooks):
    """Webhooks that take every event: what a receiver makes of it is no part of the program."""

    def get(self, name: str) -> "Taker | None":  # type: ignore[override]
        return Taker() if super().get(name) is not None else None


class Taker:
    """A receiver that answers 200."""

    async def send(self, _event: str, _delivery: str, _body: bytes) -> Outcome:
        """Nothing leaves the process."""
        return Outcome("done")
