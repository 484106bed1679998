"""Port 6060 of loopback, where Go programs show their profiles: only with `--debug`."""

from backstay.core.asgi import App
from backstay.core.clock import Clock, Ids
from backstay.core.profiling.api import Profiles
from backstay.core.server import HttpServer, Listen
from backstay.core.trust import Trust

PORT = 6060


class _Uncounted:
    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Whoever looks is no load: the metrics of the system stay its own."""


def debug_server(name: str, profiles: Profiles, clock: Clock, ids: Ids) -> HttpServer:
    """A Service. Its start raises CORE111 when another process has the port."""
    app = App(f"{name} profiles", profiles.endpoints(), Trust.loopback(), clock, ids, _Uncounted())
    return HttpServer(app, Listen(port=PORT))
