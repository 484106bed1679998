"""The gateway as a Service: it listens, and when it drains, nobody's request is dropped."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

import structlog

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.port_holder import why_not_bound
from backstay.core.server import Listen
from backstay.gateway.errors import CANNOT_LISTEN
from backstay.gateway.gate import Gate
from backstay.gateway.pool import Pool
from backstay.gateway.protocol import ClientConnection

_log = structlog.get_logger("gateway")
_BACKLOG = 2048


class Gateway:
    """Bound and accepting once `start` has returned. `address` then has the real port."""

    name = "gateway"

    def __init__(
        self,
        gate: Gate,
        listen: Listen,
        pools: Sequence[Pool],
        clock: Clock,
        on_stop: Callable[[], None],
        drain_delay: float = 0.0,
    ) -> None:
        self.gate = gate
        self.address = listen
        self._pools = pools
        self._clock = clock
        self._on_stop = on_stop
        self._drain_delay = drain_delay
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Raises GATE001 when the address cannot be had."""
        listener = self._bind()
        loop = asyncio.get_running_loop()
        factory = lambda: ClientConnection(self.gate)  # noqa: E731
        if self.address.path is not None:
            self._server = await loop.create_unix_server(factory, sock=listener, backlog=_BACKLOG)
        else:
            self._server = await loop.create_server(factory, sock=listener, backlog=_BACKLOG)
            port = listener.getsockname()[1]
            self.address = Listen(host=self.address.host, port=port)
        _log.info("listening", address=str(self.address))

    def ready(self) -> bool:
        return self._server is not None and not self.gate.draining

    async def drain(self, seconds: float) -> None:
        """Not ready, no new connections, what is under way is answered within `seconds`."""
        end = self._clock.tick() + seconds
        self.gate.draining = True
        delay = min(self._drain_delay, seconds / 2)
        if delay > 0:
            # Whoever balances load must see `not ready` before connections are refused (G12).
            await self._clock.sleep(self._clock.tick() + delay)
        self._close_listener()
        for connection in list(self.gate.connections):
            connection.let_finish()
        try:
            left = max(0.0, end - self._clock.tick())
            await asyncio.wait_for(self.gate.empty.wait(), left)
        except TimeoutError:
            _log.warning("drain ended with requests", requests=self.gate.in_flight)

    async def stop(self) -> None:
        self.gate.draining = True
        self._close_listener()
        for connection in list(self.gate.connections):
            connection.end()
        for pool in self._pools:
            pool.close()
        if self.address.path is not None:
            self.address.path.unlink(missing_ok=True)
        # Aborted transports report their end in the next turn of the loop.
        await asyncio.sleep(0)
        self._on_stop()

    def _close_listener(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _bind(self) -> socket.socket:
        listen = self.address
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        made = socket.socket(socket.AF_UNIX if listen.path else family, socket.SOCK_STREAM)
        try:
            if listen.path is not None:
                _bind_private(made, str(listen.path))
            else:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind((listen.host, listen.port))
        except OSError as bad:
            made.close()
            reason = why_not_bound(bad, listen.port)
            raise Fault(CANNOT_LISTEN, address=str(listen), reason=reason) from bad
        made.setblocking(False)
        return made


def _bind_private(made: socket.socket, path: str) -> None:
    """A Unix socket of mode 0600 from its first moment. A file that a killed owner left goes."""
    if os.path.exists(path):  # noqa: PTH110
        os.unlink(path)  # noqa: PTH108
    before = os.umask(0o177)
    try:
        made.bind(path)
    finally:
        os.umask(before)
