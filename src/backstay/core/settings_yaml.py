"""The configuration file: YAML read as nodes, so that each value keeps the line it stands on."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec
import yaml

from backstay.core.errors import Plain
from backstay.core.settings_parse import did_you_mean

_NULL = "tag:yaml.org,2002:null"
_MAX_BYTES = 1_048_576
_MAX_DEPTH = 8


class UnusableFileError(Exception):
    """The file as a whole cannot be used; the text names the file and, where known, the line."""


class Entry(msgspec.Struct, frozen=True):
    """A value as written (scalars stay text: `0123` is not 83) and its line, counted from 1."""

    value: Plain
    line: int


def read_yaml(path: Path, known: AbstractSet[str]) -> tuple[dict[str, Entry], list[str]]:
    """Values by dotted key, and one line for each unknown or doubled key.

    Raises UnusableFileError when the file cannot be read or is no YAML mapping.
    """
    root = _compose(path)
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    if root is None:
        return entries, problems
    if not isinstance(root, yaml.MappingNode):
        raise UnusableFileError(f"{path}:{root.start_mark.line + 1}: expected keys and values")
    for key, line, node in _walk(root, "", known):
        if key not in known:
            problems.append(f"{path}:{line}: key {key}: unknown{did_you_mean(key, known)}")
        elif key in entries:
            first = entries[key].line
            problems.append(f"{path}:{line}: key {key}: given before, on line {first}")
        else:
            entries[key] = Entry(_plain(node, 0), line)
    return entries, problems


def _compose(path: Path) -> yaml.Node | None:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as failure:
        raise UnusableFileError(f"{path}: cannot be read: {failure.strerror}") from failure
    if len(raw) > _MAX_BYTES:
        raise UnusableFileError(f"{path}: larger than {_MAX_BYTES} bytes")
    try:
        return yaml.compose(raw.decode("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as bad:
        raise UnusableFileError(f"{path}: not UTF-8 at byte {bad.start}") from bad
    except yaml.MarkedYAMLError as bad:
        mark = bad.problem_mark or bad.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UnusableFileError(f"{place}: YAML syntax: {bad.problem or bad.context}") from bad
    except yaml.YAMLError as bad:
        raise UnusableFileError(f"{path}: YAML syntax: {bad}") from bad


def _walk(
    mapping: yaml.MappingNode, prefix: str, known: AbstractSet[str]
) -> Iterator[tuple[str, int, yaml.Node]]:
    """Dotted key, line, node. Goes down only where a known key lies below."""
    for name, node in mapping.value:
        key = prefix + str(name.value)
        below = any(other.startswith(f"{key}.") for other in known)
        if isinstance(node, yaml.MappingNode) and below and key not in known:
            yield from _walk(node, f"{key}.", known)
        else:
            yield key, name.start_mark.line + 1, node


def _plain(node: yaml.Node, depth: int) -> Plain:
    if depth > _MAX_DEPTH:
        return None  # an alias that holds itself, or a shape no setting has
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == _NULL else str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(part, depth + 1) for part in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value, depth + 1) for key, value in node.value}
    return None
