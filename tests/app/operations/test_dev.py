"""`codeai dev`: a server that takes what its author writes, and says what is wrong with it."""

import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.conformance.proofs.support import BIN, PATIENCE, clean_env
from tests.e2e.stack import free_port, until

PROGRAM = """
entity Note { id: uuid, primary, auto
  text: string, required }
endpoint GET /notes { auth: public
  returns: paginated(Note) }
"""


def test_a_program_is_written_while_it_is_served(tmp_path: Path) -> None:
    program, out, port = tmp_path / "app.cai", tmp_path / "out", free_port()
    program.write_text(PROGRAM)
    with out.open("wb") as log:
        process = subprocess.Popen(
            [BIN / "codeai", "dev", str(tmp_path), "--port", str(port), "--data", tmp_path / "d"],
            stdout=log, stderr=subprocess.STDOUT, env=clean_env(),
        )  # fmt: skip

    def status(path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

    try:
        until(lambda: status("/api/v1/notes") == 200, PATIENCE, out.read_text)
        program.write_text(
            PROGRAM + "endpoint GET /more { auth: public returns: paginated(Nte) }\n"
        )
        until(
            lambda: "Did you mean" in out.read_text() or "Nte" in out.read_text(),
            PATIENCE,
            out.read_text,
        )
        assert status("/api/v1/notes") == 200
        extra = "  mood: string\n  text: string, required }"
        fixed = PROGRAM.replace("  text: string, required }", extra)
        program.write_text(
            fixed + "endpoint GET /more { auth: public\n returns: paginated(Note) }\n"
        )
        until(lambda: status("/api/v1/more") == 200, PATIENCE, out.read_text)
        assert "program reloaded" in out.read_text()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
