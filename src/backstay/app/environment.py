"""What a program reads from the environment: collected from all of its expressions, read once."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from backstay.app.errors import ENV_FILE, ENV_MISSING
from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.lang.program import Env, Program


def read_environment(program: Program, given: Mapping[str, str]) -> dict[str, str | None]:
    """The values of all `env()` by name. Raises ONE APP002 that names everything missing.

    Where NAME is not set, NAME_FILE may name a file that holds the value. The secret of `auth` may
    be absent: behind the gateway tokens are judged there. Tokens and secrets are made known to the
    redactor.
    """
    values: dict[str, str | None] = {}
    missing: list[str] = []
    lenient = {node.name for node in _envs(program.auth)}
    for node in _envs(program):
        value = given.get(node.name) or _from_file(node.name, given) or node.default
        values[node.name] = value
        if value is None and node.name not in lenient and node.name not in missing:
            missing.append(node.name)
    if missing:
        raise Fault(ENV_MISSING, names=", ".join(sorted(missing)), program=program.name)
    secret = (
        [(each.token, each.auth) for each in program.integrations],
        [each.secret for each in program.webhooks],
        [each.secret for each in program.incoming],
        program.auth.secret if program.auth else None,
    )
    for node in _envs(secret):
        Secret(values[node.name] or "")
    return values


def _from_file(name: str, given: Mapping[str, str]) -> str:
    """What a secret that is mounted as a file says, without the line's end that editors add. Raises
    APP073 for a file that cannot be read."""
    file = given.get(f"{name}_FILE")
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as bad:
        raise Fault(ENV_FILE, name=f"{name}_FILE", file=file, reason=str(bad)) from bad


def environment_of(program: Program, given: Mapping[str, str]) -> dict[str, str | None]:
    """The values of all `env()` by name; None for what is given nowhere."""
    return {node.name: given.get(node.name) or node.default for node in _envs(program)}


def _envs(node: object) -> Iterator[Env]:
    """Every `Env` below a node of the program, in order."""
    if isinstance(node, Env):
        yield node
    elif isinstance(node, msgspec.Struct):
        for name in node.__struct_fields__:
            yield from _envs(getattr(node, name))
    elif isinstance(node, tuple | list):
        for item in node:
            yield from _envs(item)
