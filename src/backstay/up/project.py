"""`backstay.yaml` beside a .cai file: which processes belong to it, and what it is seeded with.

Text in, frozen values out; every mistake names the file, the place and what would be right.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from backstay.core.errors import Fault
from backstay.core.nearest import nearest
from backstay.up.errors import BAD_PROJECT

FILE_NAME = "backstay.yaml"
SYSTEMS = ("queue", "app", "gateway", "patchgen")
PLACES = ("queue", "gateway")
"""What an extra process can need: it gets CODEQ_BASE_URL or BACKSTAY_URL."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,19}")


class Extra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process of the user's own. `{python}`, `{data}` and `{port}` stand for what `up` knows."""

    command: tuple[str, ...]
    ready: str = ""
    provides: Mapping[str, str] = {}
    needs: tuple[str, ...] = ()
    env: Mapping[str, str] = {}


class Project(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`seed` is a command that prints JSON lines `{"entity", "values"}`. `try` are lines for a
    shell that the table of `up` offers: `{url}` is the gateway's address, `{data}` is ` --data DIR`
    where commands need it."""

    processes: Mapping[str, Extra] = {}
    seed: tuple[str, ...] = ()
    tries: tuple[str, ...] = msgspec.field(default=(), name="try")


def project_beside(app_file: Path | None) -> Project:
    """The project of a .cai file; an empty one where there is no `backstay.yaml`. Raises UP002."""
    if app_file is None:
        return Project()
    file = (app_file if app_file.is_dir() else app_file.parent) / FILE_NAME
    return read_project(file) if file.is_file() else Project()


def read_project(file: Path) -> Project:
    """Raises UP002 with the place of the first mistake."""
    try:
        document: Any = yaml.safe_load(file.read_text())
    except yaml.MarkedYAMLError as bad:
        mark = bad.problem_mark or bad.context_mark
        line = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        raise _bad(line, f"this is not YAML: {bad.problem}", "correct the line") from bad
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as bad:
        raise _bad(str(file), f"cannot be read: {bad}", "correct the file") from bad
    if document is None:
        return Project()
    _known_keys(file, "", document, Project)
    if isinstance(document, dict) and isinstance(document.get("processes"), dict):
        for name, extra in document["processes"].items():
            _known_keys(file, f"processes.{name}", extra, Extra)
    try:
        project = msgspec.convert(document, Project)
    except msgspec.ValidationError as bad:
        raise _bad(str(file), str(bad), "give it the expected type") from bad
    _check_names(file, project)
    return project


def _known_keys(file: Path, place: str, value: object, spec: type[msgspec.Struct]) -> None:
    if not isinstance(value, dict):
        return
    known = spec.__struct_encode_fields__
    for key in value:
        if key not in known:
            near = nearest(str(key), known)
            perhaps = f"did you mean {near!r}? " if near else ""
            where = f"{file}: {place}" if place else str(file)
            raise _bad(
                where,
                f"unknown key {key!r}",
                f"{perhaps}known: {', '.join(known)}",
            )


def _check_names(file: Path, project: Project) -> None:
    for name, extra in project.processes.items():
        if not _NAME.fullmatch(name) or name in (*SYSTEMS, "up", "all"):
            raise _bad(
                f"{file}: processes.{name}",
                f"{name!r} cannot be the name of a process",
                "use up to 20 of a-z, 0-9, - and _; gateway, queue, app, up and all are taken",
            )
        if not extra.command:
            raise _bad(f"{file}: processes.{name}", "command is empty", "give a program to start")
        for need in extra.needs:
            if need not in PLACES:
                raise _bad(
                    f"{file}: processes.{name}.needs",
                    f"{need!r} cannot be needed",
                    f"use one of: {', '.join(PLACES)}",
                )


def _bad(where: str, problem: str, fix: str) -> Fault:
    return Fault(BAD_PROJECT, where=where, problem=problem, fix=fix)
