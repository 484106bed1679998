"""patchgen as the statements of its list meet it: the installed command, as whoever is asked for, and
a program of a library user."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conformance.proofs.support import BIN, PATIENCE, clean_env

PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SEED = '{"intent_type":"scaling","target":"test","namespace":"default","replicas":3}'
Done = subprocess.CompletedProcess[str]


def env(**more: str) -> dict[str, str]:
    kept = {name: text for name, text in clean_env().items() if not name.startswith("PATCHGEN_")}
    return {**kept, **more}


def patchgen(*words: str, text: str | bytes = "", **more: str) -> Done:
    """The installed command; `text` is its standard input."""
    return run((str(BIN / "patchgen"), *words), text, env(**more))


def patchgen_as(user: int, group: int, *words: str, text: str = "", **more: str) -> Done:
    """The command as somebody else. Everything is imported before: an interpreter may live where
    only root can read."""
    code = (
        "import email.parser, importlib.metadata, os, pkgutil, sys, tarfile, yaml\n"
        "import backstay.cli, backstay.patchgen\n"
        "for package in (backstay.patchgen, backstay.cli):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if 'patchgen' in found.name: importlib.import_module(found.name)\n"
        "os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[1]))\n"
        "sys.argv[1:3] = []\n"
        "from backstay.cli.patchgen import main; main()\n"
    )
    command = (sys.executable, "-c", code, str(user), str(group), *words)
    return run(command, text, {"PATH": os.environ["PATH"], **more})


def run(command: tuple[str, ...], text: str | bytes, given: dict[str, str]) -> Done:
    raw = text if isinstance(text, bytes) else text.encode()
    done = subprocess.run(
        command, input=raw, capture_output=True, env=given, timeout=PATIENCE, check=False
    )
    return Done(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def python(code: str, *words: str, **more: str) -> Done:
    """A program of a library user."""
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=env(**more),
        timeout=PATIENCE, check=False,
    )  # fmt: skip


def intent(**fields: object) -> str:
    return json.dumps({**json.loads(SEED), **fields})


def without(name: str) -> str:
    return json.dumps({key: value for key, value in json.loads(SEED).items() if key != name})


def refused(text: str | bytes) -> str:
    done = patchgen("validate", text=text)
    assert done.returncode == 1, done.stdout
    return done.stderr


def accepted(text: str) -> str:
    done = patchgen("validate", text=text)
    assert done.returncode == 0, done.stderr
    return done.stdout


def packages(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())
