"""`patchgen serve` as a process of its own: who may ask it, what it finds when it starts."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from tests.conformance.proofs.support import Serving
from tests.patchgen.support import BIN, PATIENCE, SEED, names_in, patchgen

from backstay.patchgen.write import STAGE_PREFIX

SECRET = "a secret of thirty-two bytes, or more"


@contextmanager
def serving(folder: Path, **env: str) -> Iterator[Serving]:
    """Its packages go to `folder/out`, whether that is there or not."""
    server = Serving(folder, str(BIN / "patchgen"), "serve", health="/ready")
    try:
        yield server.start(PATCHGEN_OUTPUT_DIR=str(folder / "out"), **env)
    finally:
        server.close()


def token(secret: str = SECRET, **claims: Any) -> str:
    told = {"iss": "backstay", "aud": "backstay", "sub": "a", "exp": int(time.time()) + 600}
    signed = jwt.encode({"alg": "HS256"}, {**told, **claims}, OctKey.import_key(secret))
    return f"Bearer {signed}"


def test_with_a_secret_only_its_scope_makes_packages(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    refused = {
        "no token": (401, {}),
        "another's secret": (401, {"authorization": token("x" * 40, scope="patchgen:generate")}),
        "over": (401, {"authorization": token(exp=1_000_000_000, scope="patchgen:generate")}),
        "another scope": (403, {"authorization": token(scope="codeq:admin")}),
        "no scope": (403, {"authorization": token()}),
    }
    with serving(tmp_path, JWT_SECRET=SECRET) as server:
        for why, (status, headers) in refused.items():
            answer = server.ask("POST", "/intent", SEED, **headers)
            assert (answer.status, why) == (status, why)
            assert answer.headers["content-type"].startswith("application/")
        assert names_in(out) == []
        mine = {"authorization": token(scope="other patchgen:generate")}
        assert server.ask("POST", "/intent", SEED, **mine).status == 200
        assert len(names_in(out)) == 1
        # Who looks whether it lives needs none.
        assert {server.ask("GET", path).status for path in ("/health", "/readyz")} == {200}


def test_without_tokens_it_listens_on_loopback_only(tmp_path: Path) -> None:
    words = [BIN / "patchgen", "serve", "--listen", "0.0.0.0:0", "--data", tmp_path]
    env = {name: text for name, text in os.environ.items() if not name.startswith("JWT_")}
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**env, "PATCHGEN_OUTPUT_DIR": str(tmp_path), "BACKSTAY_RUNTIME": str(tmp_path / "run")},
    )  # fmt: skip
    assert done.returncode != 0
    assert "CORE012" in done.stderr


def test_what_a_killed_one_left_is_swept_and_a_missing_folder_may_come(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / f"{STAGE_PREFIX}left" / "half").mkdir(parents=True)
    with serving(tmp_path) as server:
        [line] = [one for one in server.lines() if one["msg"] == "removed half-written packages"]
        assert (line["count"], names_in(out)) == (1, [])
    out.rmdir()
    with serving(tmp_path) as server:
        warned = [one for one in server.lines() if one["msg"] == "output folder cannot be used"]
        assert f"{out} does not exist" in warned[0]["error"]
        assert server.ask("POST", "/intent", SEED).status == 500
        out.mkdir()
        assert server.ask("POST", "/intent", SEED).status == 200


def test_without_an_output_folder_it_does_not_start(tmp_path: Path) -> None:
    done = patchgen("serve", "--data", str(tmp_path), "--listen", "127.0.0.1:0")
    assert done.returncode == 2
    assert "PATCH074" in done.stderr


@pytest.mark.parametrize(
    ("words", "name"),
    [(("validate",), "PATCHGEN_VALIDATION_TIMEOUT"), (("serve",), "PATCHGEN_REQUEST_TIMEOUT")],
)
def test_no_time_at_all_is_refused_by_the_variables_name(
    tmp_path: Path, words: tuple[str, ...], name: str
) -> None:
    env = {**os.environ, name: "0s", "PATCHGEN_OUTPUT_DIR": str(tmp_path)}
    done = patchgen(*words, text=json.dumps(SEED), env=env)
    assert done.returncode == 2
    assert f"{name}: it must be longer than 0s" in done.stderr
