"""`codeq-server` as it is, but for one thing: its wall clock stands as many seconds ahead of the
machine's as the file SHIFT_FILE says. Setting the machine's own clock would be everybody's business.

    SHIFT_FILE=… python -m tests.queue.hostile.set_clock --listen … --data …
"""

import os
from pathlib import Path

from backstay.cli import codeq_server
from backstay.core import process
from backstay.core.clock import SystemClock

_FILE = Path(os.environ["SHIFT_FILE"])


class SetClock(SystemClock):
    """Its monotonic side is the machine's, as it is when an administrator sets the time."""

    def now(self) -> float:
        return super().now() + float(_FILE.read_text())


if __name__ == "__main__":
    process.SystemClock = SetClock  # type: ignore[misc]
    codeq_server.main()
