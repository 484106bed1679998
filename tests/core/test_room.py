"""What a process has of the machine, seen from outside: of a real child with real limits."""

import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from backstay.core.room import busy_share, open_files, room_of

COMPUTES = "print(flush=True)\nwhile True: pass"
WAITS = "import sys; print(flush=True); sys.stdin.read()"


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-c", request.param]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started
        started.kill()


@pytest.mark.parametrize("child", [WAITS], indirect=True)
def test_the_tightest_limit_counts_and_none_is_no_limit(child: subprocess.Popen[bytes]) -> None:
    free = room_of(child.pid)
    assert free.used > 1_000_000
    limit = 2 * 1024 * 1024 * 1024
    resource.prlimit(child.pid, resource.RLIMIT_DATA, (limit, limit))
    limited = room_of(child.pid)
    assert (limited.limit, limited.whose) == (limit, "the process's")
    assert not limited.near(0.85)
    used = limited.used + 4096
    resource.prlimit(child.pid, resource.RLIMIT_DATA, (used, used))
    assert room_of(child.pid).near(0.85)


@pytest.mark.parametrize("child", [WAITS], indirect=True)
def test_open_files_are_counted_with_their_limit(child: subprocess.Popen[bytes]) -> None:
    resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (64, 64))
    assert open_files(child.pid) == (3, 64)
    assert open_files(0) == (0, 0)


@pytest.mark.parametrize("child", [COMPUTES], indirect=True)
async def test_who_computes_is_told_from_who_waits(child: subprocess.Popen[bytes]) -> None:
    """It counts what a process wants: a busy machine that gives it less changes nothing."""
    assert await busy_share(child.pid) > 0.5


@pytest.mark.parametrize("child", [WAITS], indirect=True)
async def test_who_waits_takes_nothing(child: subprocess.Popen[bytes]) -> None:
    assert await busy_share(child.pid) < 0.5
