"""A real receiver of traces (OTLP over HTTP): the wheel `rotel`, which prints what it gets."""

import importlib.util
import re
import socket
from pathlib import Path

from tests.servers.running import Running

from backstay.up.ports import free_port


def binary() -> str | None:
    """The agent of the installed wheel."""
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        return None
    agent = Path(found.origin).parent / "rotel-agent"
    return str(agent) if agent.exists() else None


class Rotel:
    """One agent on free loopback ports; it keeps nothing but its log."""

    def __init__(self, command: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        options = (
            f"start --otlp-http-endpoint 127.0.0.1:{self.port}"
            f" --otlp-grpc-endpoint 127.0.0.1:{free_port()}"
            " --exporter blackhole --debug-log traces --debug-log-verbosity detailed"
        )
        self.running = Running([command, *options.split()], folder / "rotel.log")
        self.running.wait_until(self._answers)

    def spans(self, trace: str) -> list[dict[str, str]]:
        """The spans of a trace that arrived: id, parent, name, kind, status and attributes."""
        text = self.running.log.read_text(errors="replace")
        # An attribute list ends where the next span or resource begins.
        blocks = re.split(r"^(?:Span|ResourceSpans) #\d+$", text, flags=re.MULTILINE)
        return [_span(block) for block in blocks if f"Trace ID       : {trace}" in block]

    def resources(self) -> str:
        """What it printed, for the attributes of a process."""
        return self.running.log.read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2):
                return True
        except OSError:
            return False


def _span(block: str) -> dict[str, str]:
    known = {
        "parent": r"Parent ID +: (.*)",
        "id": r"^ +ID +: (.*)",
        "name": r"Name +: (.*)",
        "kind": r"Kind +: SPAN_KIND_(.*)",
        "status": r"Status code +: STATUS_CODE_(.*)",
    }
    found = {
        name: match[1].strip() if (match := re.search(pattern, block, re.MULTILINE)) else ""
        for name, pattern in known.items()
    }
    return found | dict(re.findall(r"-> ([\w.]+): \w+\((.*)\)", block))
