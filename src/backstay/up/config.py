"""The supervisor's own settings, and one configuration file for all: a section for each system.

`up` resolves its own and hands each child its section as a file of its own, in which every line
stands where it stood: what a child says about `config.yaml:12` is true of the original.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import yaml
from msgspec import Meta

from backstay.core.errors import Fault
from backstay.core.runtime import write_atomically
from backstay.core.settings import Given, Loaded, Option, S, Secret, load
from backstay.up.errors import BAD_PROJECT
from backstay.up.project import SYSTEMS

SECTIONS = ("up", *SYSTEMS)


class UpSettings(msgspec.Struct, frozen=True):
    """What the supervisor itself needs."""

    data: Annotated[Path, Option("the data folder", ("BACKSTAY_DATA",), "data", "--data")] = Path(
        ".backstay"
    )
    host: Annotated[
        str, Option("where the gateway listens", ("BACKSTAY_HOST",), "host", "--host")
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(ge=1, le=65535),
        Option("where the gateway listens", ("BACKSTAY_PORT",), "port", "--port"),
    ] = 8080
    jwt_secret: Annotated[
        Secret,
        Option("makes tokens obligatory; unset: the development issuer", ("JWT_SECRET",)),
    ] = Secret("")


def resolve(
    flags: Mapping[str, str | int | None],
    env: Mapping[str, str],
    config: Path | None,
    scratch: Path,
) -> Loaded[UpSettings]:
    """The supervisor's settings. `scratch` takes its section of `config`. Raises CORE001, UP002."""
    file = sections(config, scratch).get("up") if config else None
    return load(UpSettings, Given(flags=flags, env=env, file=file))


def check(config: Path, env: Mapping[str, str], scratch: Path) -> None:
    """Judge every system's section before anything starts. Raises CORE001 with places in `config`,
    though a system reads its section as a file of its own."""
    for name, file in sections(config, scratch).items():
        if name not in SYSTEMS:
            continue
        from backstay.systems import resolve as system

        try:
            load(system(name).settings, Given(env=env, file=file))
        except Fault as fault:
            told = {
                key: value.replace(str(file), str(config)) if isinstance(value, str) else value
                for key, value in fault.values.items()
            }
            raise Fault(fault.entry, **told) from fault


def sections(config: Path, scratch: Path) -> dict[str, Path]:
    """A file for each section that `config` has, named like it: `scratch/queue/config.yaml`."""
    text, root = _read(config)
    lines = text.splitlines()
    found: dict[str, Path] = {}
    for key, value in root:
        if key.value not in SECTIONS:
            from backstay.core.settings_parse import did_you_mean

            raise _bad(
                config,
                key,
                f"unknown section {key.value!r}{did_you_mean(key.value, set(SECTIONS))}",
            )
        if isinstance(value, yaml.ScalarNode) and not value.value:
            continue
        if not isinstance(value, yaml.MappingNode):
            raise _bad(config, value, f"section {key.value} must hold keys and values")
        folder = scratch / str(key.value)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found[str(key.value)] = folder / config.name
        write_atomically(found[str(key.value)], _alone(text, lines, value).encode())
    return found


def shown(loaded: Loaded[S]) -> list[dict[str, object]]:
    """As the control socket gives them: secrets masked."""
    return [
        {
            "name": value.name,
            "value": value.shown(),
            "source": value.source,
            "where": value.where,
        }
        for value in loaded.values
    ]


def _read(config: Path) -> tuple[str, list[tuple[yaml.ScalarNode, yaml.Node]]]:
    try:
        text = config.read_text("utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as bad:
        mark = bad.problem_mark or bad.context_mark
        where = f"{config}:{mark.line + 1}:{mark.column + 1}" if mark else str(config)
        problem = f"this is not YAML: {bad.problem}"
        raise Fault(BAD_PROJECT, where=where, problem=problem, fix="correct the line") from bad
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as bad:
        problem = f"cannot be read: {bad}"
        raise Fault(BAD_PROJECT, where=str(config), problem=problem, fix="correct it") from bad
    if root is None:
        return text, []
    if not isinstance(root, yaml.MappingNode):
        raise _bad(config, root, f"expected sections: {', '.join(SECTIONS)}")
    return text, root.value


def _alone(text: str, lines: list[str], value: yaml.MappingNode) -> str:
    """The section's own lines at their line numbers, without the others and their indent."""
    first, indent = value.start_mark.line, value.start_mark.column
    if value.flow_style:
        return "\n" * first + text[value.start_mark.index : value.end_mark.index] + "\n"
    # The end mark of a block is where the next token begins: up to there all is ours.
    last = value.end_mark.line if value.end_mark.column == 0 else value.end_mark.line + 1
    own = [
        line[indent:] if line[:indent].isspace() else line.lstrip() for line in lines[first:last]
    ]
    return "\n" * first + "\n".join(own) + "\n"


def _bad(config: Path, node: yaml.Node, problem: str) -> Fault:
    mark = node.start_mark
    where = f"{config}:{mark.line + 1}:{mark.column + 1}"
    return Fault(BAD_PROJECT, where=where, problem=problem, fix="correct the line")
