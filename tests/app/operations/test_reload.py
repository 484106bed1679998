"""Hot reload: a changed program is served without a request lost, a broken one changes nothing."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.proofs.support import BIN, PATIENCE, Serving
from tests.e2e.stack import until

BASE = """config {{ name: "notes" }}

entity Note {{
  id: uuid, primary, auto
  text: string, required{more}
}}

endpoint GET /notes {{
  auth: public
  returns: paginated(Note)
}}

endpoint POST /notes {{
  auth: public
  body {{ text: string, required }}
  do {{
    let note = create Note {{ text: body.text }}
    return note
  }}
  status: 201
}}
"""
GREETING = """
endpoint GET /{name} {{
  auth: public
  returns: paginated(Note)
  page_size: 3
}}
"""


def text(*names: str, more: str = "") -> str:
    return BASE.format(more=more) + "".join(GREETING.format(name=name) for name in names)


def serve(folder: Path, *words: str) -> tuple[Serving, Path]:
    folder.mkdir(exist_ok=True)
    program = folder / "app.cai"
    program.write_text(text())
    serving = Serving(folder / "c", str(BIN / "codeai"), "server", str(program), *words)
    return serving.start(), program


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Serving, Path]]:
    serving, program = serve(tmp_path, "--reload")
    yield serving, program
    serving.close()


def status(serving: Serving, name: str) -> int:
    return serving.ask("GET", f"/api/v1/{name}").status


def becomes(serving: Serving, name: str, wanted: int) -> None:
    until(lambda: status(serving, name) == wanted, PATIENCE, serving.err.read_text)


def test_no_request_is_lost_while_the_program_changes(served: tuple[Serving, Path]) -> None:
    serving, program = served
    ended = threading.Event()
    answers: list[int] = []
    troubles: list[BaseException] = []

    def ask() -> None:
        try:
            while not ended.is_set():
                answers.append(serving.ask("POST", "/api/v1/notes", {"text": "t"}).status)
                answers.append(status(serving, "notes") + 1)
        except BaseException as trouble:  # noqa: BLE001 - told by the main thread
            troubles.append(trouble)

    askers = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for each in askers:
        each.start()
    for number in range(5):
        program.write_text(text(f"v{number}"))
        becomes(serving, f"v{number}", 200)
    ended.set()
    for each in askers:
        each.join(PATIENCE)
    assert not troubles
    assert set(answers) == {201}
    assert status(serving, "v3") == 404
    # Routes that no program changes are there as before.
    for name in ("admin/keys", "admin/slow-queries", "workflows"):
        assert status(serving, name) == 200, name
    assert len(answers) > 20


def test_a_broken_file_keeps_the_program_and_shows_its_mistakes(
    served: tuple[Serving, Path],
) -> None:
    serving, program = served
    program.write_text(text("more") + "endpoint GET /x { returns: paginated(Nobody) }\n")
    until(lambda: "Nobody" in serving.err.read_text(), PATIENCE, serving.err.read_text)
    assert f"{program}:" in serving.err.read_text()
    assert status(serving, "notes") == 200
    assert status(serving, "more") == 404

    def check() -> dict[str, object]:
        found: dict[str, object] = serving.ask("GET", "/health").json["checks"]["program"]
        return found

    until(lambda: check()["status"] == "degraded", PATIENCE, lambda: str(check()))
    program.write_text(text("more"))
    becomes(serving, "more", 200)
    until(lambda: check()["status"] == "healthy", PATIENCE, lambda: str(check()))


def test_a_migration_that_touches_what_is_stored_keeps_the_program_and_shows_the_plan(
    served: tuple[Serving, Path],
) -> None:
    serving, program = served
    assert serving.ask("POST", "/api/v1/notes", {"text": "kept"}).status == 201
    program.write_text(text("more").replace("text: string, required\n}", "}").replace(
        "body { text: string, required }", "body { word: string, required }").replace(
        "create Note { text: body.text }", "create Note { }"))  # fmt: skip
    until(lambda: "APP003" in serving.err.read_text(), PATIENCE, serving.err.read_text)
    assert "ALTER TABLE" in serving.err.read_text() or "DROP" in serving.err.read_text()
    assert status(serving, "more") == 404
    (row,) = serving.ask("GET", "/api/v1/notes").json["data"]
    assert row["text"] == "kept"


def test_a_change_of_tables_that_is_safe_waits_for_migrate(tmp_path: Path) -> None:
    serving, program = serve(tmp_path, "--reload")
    try:
        program.write_text(text("more", more="\n  extra: string"))
        until(lambda: "APP028" in serving.err.read_text(), PATIENCE, serving.err.read_text)
        assert status(serving, "more") == 404
    finally:
        serving.close()
    serving, program = serve(tmp_path / "2", "--reload", "--migrate")
    try:
        assert serving.ask("POST", "/api/v1/notes", {"text": "old"}).status == 201
        program.write_text(text("more", more="\n  extra: string"))
        becomes(serving, "more", 200)
        (row,) = serving.ask("GET", "/api/v1/notes").json["data"]
        assert (row["text"], row["extra"]) == ("old", None)
    finally:
        serving.close()


def test_what_could_never_work_is_seen_before_the_tables_are_changed(tmp_path: Path) -> None:
    serving, program = serve(tmp_path, "--reload", "--migrate")
    try:
        bad = (
            'integration S { type: rest\n base_url: "https://s.example"\n auth: oauth2 { scope: "a" }\n'
            ' operation get { method: GET\n path: "/" } }\n'
        )
        program.write_text(text("more", more="\n  extra: string") + bad)
        until(lambda: "APP005" in serving.err.read_text(), PATIENCE, serving.err.read_text)
        serving.ask("POST", "/api/v1/notes", {"text": "kept"})
        (row,) = serving.ask("GET", "/api/v1/notes").json["data"]
        assert "extra" not in row
        with sqlite3.connect(serving.folder / "app.db") as database:
            columns = [name for _, name, *_ in database.execute("PRAGMA table_info(notes)")]
        assert columns == ["id", "text"]
    finally:
        serving.close()


def test_an_auth_that_changed_wants_a_restart(served: tuple[Serving, Path]) -> None:
    serving, program = served
    auth = 'name: "notes" auth: jwt { secret: env("NOTES_SECRET", "") }'
    program.write_text(text("more").replace('name: "notes"', auth))
    until(lambda: "APP072" in serving.err.read_text(), PATIENCE, serving.err.read_text)
    assert status(serving, "more") == 404


def test_without_reload_the_file_is_read_once(tmp_path: Path) -> None:
    serving, program = serve(tmp_path)
    try:
        program.write_text(text("more"))
        for _ in range(20):
            assert status(serving, "more") == 404
        assert "program" not in serving.ask("GET", "/health").json["checks"]
    finally:
        serving.close()
