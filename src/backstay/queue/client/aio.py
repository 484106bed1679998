"""The client for asyncio: the three parts over one transport."""

import os
from collections.abc import Mapping
from typing import Self

from backstay.core.clock import Clock, Dice, SystemClock, SystemDice
from backstay.queue.client.administering import Administering
from backstay.queue.client.producing import Producing
from backstay.queue.client.transport import Http, Manner, Token, Tokens, Transport
from backstay.queue.client.working import Working

DEFAULT_BASE_URL = "http://localhost:8080"


class QueueClient(Producing, Working, Administering):
    """`base_url` is `http://host:port` or `unix:/path`. A token may be a function that gives the
    present one; it is asked again after a 401. Belongs to one event loop; close it."""

    def __init__(
        self,
        base_url: str = DEFAULT_BASE_URL,
        *,
        producer_token: Token = "",
        worker_token: Token = "",
        admin_token: Token = "",
        timeout: float = 30.0,
        retries: int = 3,
        clock: Clock | None = None,
        dice: Dice | None = None,
        http: Http | None = None,
    ) -> None:
        self._transport = Transport(
            base_url,
            Tokens(producer_token, worker_token, admin_token),
            Manner(timeout, retries),
            clock or SystemClock(),
            dice or SystemDice(),
            http,
        )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, *, retries: int = 3) -> "QueueClient":
        """CODEQ_BASE_URL, CODEQ_PRODUCER_TOKEN, CODEQ_WORKER_TOKEN, CODEQ_ADMIN_TOKEN."""
        given = os.environ if env is None else env
        return cls(
            given.get("CODEQ_BASE_URL") or DEFAULT_BASE_URL,
            producer_token=given.get("CODEQ_PRODUCER_TOKEN", ""),
            worker_token=given.get("CODEQ_WORKER_TOKEN", ""),
            admin_token=given.get("CODEQ_ADMIN_TOKEN", ""),
            retries=retries,
        )

    @property
    def address(self) -> str:
        return self._transport.address

    async def close(self) -> None:
        """Idempotent."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
