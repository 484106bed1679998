"""What a program reads from the environment: collected from all of its expressions, read once."""

from collections.abc import Iterator, Mapping

import msgspec

from backstay.app.errors import ENV_MISSING
from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.lang.program import Env, Program


def read_environment(program: Program, given: Mapping[str, str]) -> dict[str, str | None]:
    """The values of all `env()` by name. Raises ONE APP002 that names everything missing.

    The secret of `auth` may be absent: behind the gateway tokens are judged there. Tokens and
    secrets are made known to the redactor.
    """
    values: dict[str, str | None] = {}
    missing: list[str] = []
    lenient = {node.name for node in _envs(program.auth)}
    for node in _envs(program):
        value = given.get(node.name) or node.default
        values[node.name] = value
        if value is None and node.name not in lenient and node.name not in missing:
            missing.append(node.name)
    if missing:
        raise Fault(ENV_MISSING, names=", ".join(sorted(missing)), program=program.name)
    tokens = [node for each in program.integrations for node in _envs(each.token)]
    for node in (*tokens, *_envs(program.auth.secret if program.auth else None)):
        Secret(values[node.name] or "")
    return values


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
    elif isinstance(node, tuple):
        for item in node:
            yield from _envs(item)
