"""API keys of a real server: shown once, stored hashed, judged like tokens, ended at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.standing import codeai, database_url, standing, told
from tests.conformance.proofs.support import PATIENCE, Serving
from tests.e2e.stack import until
from tests.servers.issuer import JwksIssuer

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

SECRET = "a-secret-of-at-least-thirty-two-bytes"
ISSUER = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())
ADMIN = ISSUER.mint("root", ["admin"], ttl=3600)
TEXT = """
config { name: "notes" version: "1.0.0" auth: jwt { secret: env("JWT_SECRET") } }
role clerk { permissions: ["notes:write"] }
entity Note {
  id: uuid, primary, auto
  text: string, required
  owner: string, required
  access { read: owner == user.id, create: user.has("notes:write"), update: owner == user.id, delete: owner == user.id }
}
endpoint GET /notes { returns: list(Note) }
endpoint POST /notes {
  body { text: string, required }
  do { let note = create Note { text: body.text, owner: user.id } return note }
  status: 201
}
endpoint DELETE /notes/{id} { path { id: uuid } do { delete Note where id == path.id } }
endpoint GET /open { auth: public returns: list(Note) }
"""


@pytest.fixture(scope="module")
def server(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    url = "" if kind == "sqlite" else request.getfixturevalue("urls").take()
    folder = tmp_path_factory.mktemp("keys")
    with standing(folder, TEXT, url, JWT_SECRET=SECRET) as serving:
        serving.database = url  # type: ignore[attr-defined]
        yield serving
    if url:
        request.getfixturevalue("urls").give(url)


def made(server: Serving, name: str, *more: str) -> tuple[str, str]:
    """The id and the text of a new key."""
    body = told(codeai(server, ADMIN, "keys", "create", name, "--output", "json", *more))
    return str(body["id"]), str(body["key"])


def status(server: Serving, key: str, path: str = "/api/v1/notes") -> int:
    return server.ask("GET", path, Authorization=f"Bearer {key}").status


def test_a_key_is_its_holder_to_every_rule(server: Serving) -> None:
    _, writer = made(server, "writer", "--role", "clerk")
    _, reader = made(server, "reader")
    stored = server.ask("POST", "/api/v1/notes", {"text": "mine"}, X_API_Key=writer)
    assert stored.status == 201, stored.body
    assert stored.json["owner"] == "key:writer"
    refused = server.ask("POST", "/api/v1/notes", {"text": "no"}, X_API_Key=reader)
    assert (refused.status, refused.json["code"]) == (403, "APP014")
    assert server.ask("GET", "/api/v1/notes", X_API_Key=reader).json == []
    assert len(server.ask("GET", "/api/v1/notes", X_API_Key=writer).json) == 1
    assert server.ask("GET", "/api/v1/admin/keys", X_API_Key=writer).status == 403
    # The log names the holder like any other user.
    server.ask("GET", "/api/v1/notes", X_API_Key=writer, X_Request_ID="by-key")
    assert server.line_of("by-key")["user_id"] == "key:writer"


def test_the_text_of_a_key_is_nowhere_but_in_the_answer_that_made_it(server: Serving) -> None:
    made_id, key = made(server, "secretive")
    status(server, key)
    listed = server.ask("GET", "/api/v1/admin/keys?limit=100", Authorization=f"Bearer {ADMIN}")
    assert made_id in listed.body.decode()
    assert key not in listed.body.decode()
    assert key[:12] in listed.body.decode()
    logged = server.out.read_text() + server.err.read_text()
    assert key not in logged
    if not server.database:  # type: ignore[attr-defined]
        files = [each for each in server.folder.rglob("app.db*") if each.is_file()]
        assert files
        assert not any(key.encode() in each.read_bytes() for each in files)
    shown = codeai(server, ADMIN, "keys", "list", "--limit", "100")
    assert made_id in shown.stdout
    assert key not in shown.stdout


def test_a_revoked_key_ends_at_once_and_says_so_in_the_log(server: Serving) -> None:
    made_id, key = made(server, "leaver")
    assert status(server, key) == 200
    gone = codeai(server, ADMIN, "keys", "revoke", made_id)
    assert gone.stdout == f"leaver: key {made_id} is revoked\n"
    answer = server.ask("GET", "/api/v1/notes", X_API_Key=key, X_Request_ID="revoked")
    assert (answer.status, answer.json["code"]) == (401, "AUTH001")
    line = server.line_of("revoked", "authentication failed")
    assert line["code"] == "AUTH001"
    assert "was revoked" in line["cause"]
    # Nobody may fall back to being anybody: a public route refuses a bad key as well.
    assert server.ask("GET", "/api/v1/open", X_API_Key=key).status == 401
    assert codeai(server, ADMIN, "keys", "revoke", made_id).returncode == 0
    unknown = codeai(server, ADMIN, "keys", "revoke", "nothing")
    assert unknown.returncode != 0
    assert "APP062" in unknown.stderr


def test_a_rotated_key_goes_on_under_another_text(server: Serving) -> None:
    made_id, old = made(server, "rotating", "--role", "clerk", "--sub", "depot")
    assert status(server, old) == 200
    told_ = told(
        codeai(server, ADMIN, "keys", "rotate", made_id, "--grace", "1h", "--output", "json")
    )
    new = str(told_["key"])
    assert told_["replaces"] == made_id
    assert status(server, old) == status(server, new) == 200
    posted = server.ask("POST", "/api/v1/notes", {"text": "x"}, X_API_Key=new)
    assert posted.json["owner"] == "depot"
    at_once = told(codeai(server, ADMIN, "keys", "rotate", str(told_["id"]), "-o", "json"))
    assert status(server, new) == 401
    assert status(server, str(at_once["key"])) == 200
    again = codeai(server, ADMIN, "keys", "rotate", str(told_["id"]))
    assert "APP064" in again.stderr


def test_a_key_past_its_time_is_expired(server: Serving) -> None:
    _, key = made(server, "short", "--expires-in", "1ms")
    answer = server.ask("GET", "/api/v1/notes", X_API_Key=key)
    assert (answer.status, answer.json["code"]) == (401, "AUTH002")
    bad = codeai(server, ADMIN, "keys", "create", "odd", "--expires-in", "soon")
    assert "APP063" in bad.stderr


@pytest.mark.parametrize("text", ["bsk_", "bsk_nothing", "bsk_" + "x" * 43])
def test_what_is_no_key_opens_nothing(server: Serving, text: str) -> None:
    for headers in ({"X_API_Key": text}, {"Authorization": f"Bearer {text}"}):
        answer = server.ask("GET", "/api/v1/open", **headers)
        assert (answer.status, answer.json["code"]) == (401, "AUTH001")


def test_an_api_key_header_of_somebody_else_is_nobodys(server: Serving) -> None:
    assert server.ask("GET", "/api/v1/open", X_API_Key="of-another-system").status == 200
    assert server.ask("GET", "/api/v1/notes", X_API_Key="of-another-system").status == 401


def test_keys_are_made_by_administrators_alone(server: Serving) -> None:
    token = ISSUER.mint("ada", ttl=60)
    done = codeai(server, token, "keys", "create", "mine", "--scope", "admin")
    assert done.returncode == 3, done.stderr
    nobody = server.ask("POST", "/api/v1/admin/keys", {"name": "mine"})
    assert nobody.status == 401


def test_who_changed_what_is_kept_with_the_change(server: Serving) -> None:
    _, key = made(server, "auditee", "--role", "clerk")
    posted = server.ask("POST", "/api/v1/notes", {"text": "x"}, X_API_Key=key, X_Request_ID="a-1")
    note = posted.json["id"]
    server.ask("DELETE", f"/api/v1/notes/{note}", X_API_Key=key, X_Request_ID="a-2")
    # Refused, and changed nothing: neither is in it.
    server.ask("POST", "/api/v1/notes", {}, X_API_Key=key, X_Request_ID="a-3")
    server.ask("DELETE", f"/api/v1/notes/{note}", X_API_Key=key, X_Request_ID="a-4")
    found = told(codeai(server, ADMIN, "audit", "--sub", "key:auditee", "--output", "json"))
    deeds = found["data"]
    assert isinstance(deeds, list)
    assert [(each["request_id"], each["method"], each["status"]) for each in deeds] == [
        ("a-2", "DELETE", 204),
        ("a-1", "POST", 201),
    ]
    assert deeds[0]["changes"] == [{"do": "delete", "entity": "Note", "rows": 1, "key": None}]
    assert deeds[1]["changes"] == [{"do": "create", "entity": "Note", "rows": 1, "key": note}]
    shown = codeai(server, ADMIN, "audit", "--path", f"/api/v1/notes/{note}")
    assert f"user:key:auditee  DELETE  /api/v1/notes/{note}  204  delete 1 Note" in shown.stdout


def test_what_administrators_do_is_kept_with_its_end(server: Serving) -> None:
    made_id, _ = made(server, "watched")
    codeai(server, ADMIN, "keys", "revoke", made_id)
    codeai(server, ADMIN, "keys", "revoke", "nobody")
    found = told(codeai(server, ADMIN, "audit", "--sub", "root", "--output", "json"))
    deeds = found["data"]
    assert isinstance(deeds, list)
    assert [(each["method"], each["path"], each["status"]) for each in deeds[:3]] == [
        ("DELETE", "/api/v1/admin/keys/nobody", 404),
        ("DELETE", f"/api/v1/admin/keys/{made_id}", 200),
        ("POST", "/api/v1/admin/keys", 201),
    ]
    assert server.ask("GET", "/api/v1/admin/audit").status == 401


def test_the_keys_of_an_issuer_are_named_in_the_program(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, jwks_issuer: JwksIssuer
) -> None:
    jwks_issuer.name = jwks_issuer.audience = "backstay"
    auth = 'auth: jwt { jwks_url: env("KEYS_URL"), algorithm: RS256 }'
    text = TEXT.replace('auth: jwt { secret: env("JWT_SECRET") }', auth)
    url = database_url(kind, request)
    with standing(tmp_path, text, url, KEYS_URL=jwks_issuer.jwks_url, JWT_SECRET=SECRET) as app:
        assert status(app, jwks_issuer.mint(sub="ada")) == 200
        wrong = app.ask("GET", "/api/v1/notes", Authorization=f"Bearer {ISSUER.mint('ada')}")
        assert (wrong.status, wrong.json["code"]) == (400, "AUTH007")
        assert status(app, jwks_issuer.mint(aud="another")) == 401
        assert app.ask("GET", "/api/v1/notes").status == 401


def test_an_auth_provider_of_the_first_language_is_the_issuer(
    tmp_path: Path, jwks_issuer: JwksIssuer
) -> None:
    jwks_issuer.name = jwks_issuer.audience = "backstay"
    text = TEXT.replace(' auth: jwt { secret: env("JWT_SECRET") }', "") + (
        f'\nauth main {{ method jwt jwks_url "{jwks_issuer.jwks_url}" issuer "backstay" audience "backstay" }}\n'
        'endpoint GET /wanted { require_role "clerk" returns: list(Note) }\n'
    )
    with standing(tmp_path, text) as app:
        assert app.ask("GET", "/api/v1/wanted").status == 401
        assert status(app, jwks_issuer.mint(sub="ada"), "/api/v1/wanted") == 403
        clerk = jwks_issuer.mint(sub="ada", roles=["clerk"])
        assert status(app, clerk, "/api/v1/wanted") == 200


def test_an_algorithm_without_a_key_for_it_keeps_the_server_from_starting(tmp_path: Path) -> None:
    text = TEXT.replace('env("JWT_SECRET") }', 'env("JWT_SECRET"), algorithm: RS256 }')
    with pytest.raises(AssertionError, match="APP005"), standing(tmp_path, text, JWT_SECRET=SECRET):
        pass


def test_keys_are_told_when_they_were_last_used(server: Serving) -> None:
    made_id, key = made(server, "used")
    status(server, key)
    server.stop()
    server.start(
        JWT_SECRET=SECRET, **({"DATABASE_URL": server.database} if server.database else {})
    )  # type: ignore[attr-defined]
    assert status(server, key) == 200

    def noted() -> bool:
        listed = told(codeai(server, ADMIN, "keys", "list", "--limit", "100", "-o", "json"))["data"]
        assert isinstance(listed, list)
        return any(each["id"] == made_id and each["last_used_at"] for each in listed)

    until(noted, PATIENCE, lambda: "never noted")
