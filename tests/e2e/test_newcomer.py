"""What `up` prints to try next works as it stands, pasted line after line into one shell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.stack import Stack, running, until


def _offered(shop: Stack) -> list[str]:
    text = shop.output.read_text()
    after = text.partition("try next")[2].splitlines()[1:]
    return [line[2:] for line in after[: after.index("")]]


def _paste(shop: Stack, lines: list[str]) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=shop.data.parent,
        env={**shop.env, "PATH": path},
    )
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_of_the_table_work_as_pasted(tmp_path: Path) -> None:
    with running(tmp_path) as shop:
        until(lambda: "Ctrl-C" in shop.output.read_text(), 20, shop.output.read_text)
        lines = _offered(shop)
        order = next(n for n, line in enumerate(lines) if "-d '{" in line)
        assert '"status":"pending"' in _paste(shop, lines[: order + 1])

        def its_state() -> str:
            return _paste(shop, [lines[order + 1]])

        until(lambda: '"parcel":"P-' in its_state(), 20, its_state)
        rest = _paste(shop, lines[order + 1 :])
        assert '"execution":' in rest
        assert "healthy: nothing wrong" in rest
        (row,) = shop.ask("GET", "/api/v1/orders?sort=-created_at&limit=1").json["data"]
        assert row["status"] == "refunded"
