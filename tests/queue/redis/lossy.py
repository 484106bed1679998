"""A road to a store that loses answers: what was asked arrives and is done, and nobody hears of it."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from tests.servers.valkey import RedisServer


class LossyRoad:
    """Forwards bytes; after `lose()` the next answer to a script is swallowed and the connection is
    cut. `lost` counts the answers that were."""

    def __init__(self, store: RedisServer) -> None:
        self._store = store
        self._losing = False
        self._server: asyncio.Server | None = None
        self._roads: set[asyncio.Task[None]] = set()
        self.lost = 0
        self.address = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._travel, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, what: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for road in self._roads:
            road.cancel()
        await asyncio.gather(*self._roads, return_exceptions=True)

    def lose(self) -> None:
        """The next answer."""
        self._losing = True

    async def _travel(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._roads.add(task)
        try:
            far, forth = await asyncio.open_connection(self._store.host, self._store.port)
            asked: list[bytes] = []
            there = asyncio.create_task(self._forward(near, forth, asked))
            try:
                while answer := await far.read(65536):
                    if self._losing and asked and b"EVALSHA" in asked[-1]:
                        self._losing = False
                        self.lost += 1
                        return
                    back.write(answer)
                    await back.drain()
            finally:
                there.cancel()
                forth.close()
                back.close()
        except OSError:
            back.close()
        finally:
            self._roads.discard(task)

    async def _forward(
        self, near: asyncio.StreamReader, forth: asyncio.StreamWriter, asked: list[bytes]
    ) -> None:
        with contextlib.suppress(OSError):
            while question := await near.read(65536):
                asked.append(question)
                forth.write(question)
                await forth.drain()
