"""The way into the language: sources in, a checked program or what is wrong with them out.

Pure: names and texts come in, nothing is read. Whatever comes in, this returns; a mistake of any
kind is a diagnostic.
"""

import hashlib
from collections.abc import Sequence
from pathlib import PurePath

from backstay.lang import errors as e
from backstay.lang.check import check
from backstay.lang.diagnostics import Diagnostic, Span
from backstay.lang.parser import parse
from backstay.lang.program import Program
from backstay.lang.reports import Reports
from backstay.lang.syntax import File

MAX_CHARACTERS = 2 * 1024 * 1024
"""More than this in all sources together is refused before it is read."""


def check_text(name: str, text: str) -> tuple[Program | None, list[Diagnostic]]:
    """The program of one source, or None and why not. `name` is what messages call the file."""
    return check_files([(name, text)])


def check_files(
    sources: Sequence[tuple[str, str]],
) -> tuple[Program | None, list[Diagnostic]]:
    """The program of several sources: one namespace, their order does not matter.

    Diagnostics are sorted by file and line; warnings alone do not prevent the program.
    """
    ordered = tuple(sorted(sources))
    refused = _unreadable(ordered)
    if refused:
        return None, refused
    files: list[tuple[File, Reports]] = []
    for name, text in ordered:
        reports = Reports(name)
        files.append((parse(text, reports), reports))
    program = check(files, ordered, _digest(ordered))
    found = [diagnostic for _, reports in files for diagnostic in reports.found]
    found.sort(key=lambda diagnostic: (diagnostic.span, diagnostic.code))
    if any(diagnostic.severity == "error" for diagnostic in found):
        return None, found
    return program, found


def parse_text(name: str, text: str) -> tuple[File, list[Diagnostic]]:
    """The tree of one source and its mistakes of form; names and types are not looked at."""
    refused = _unreadable(((name, text),))
    if refused:
        return File(name, "", ()), refused
    reports = Reports(name)
    return parse(text, reports), sorted(reports.found, key=lambda each: each.span)


def decode(name: str, data: bytes) -> tuple[str, list[Diagnostic]]:
    """The text of a file's bytes; a byte order mark is taken off."""
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as bad:
        before = data[: bad.start].decode("utf-8", "replace")
        reports = Reports(name)
        reason = f"byte 0x{data[bad.start]:02x} at offset {bad.start}"
        reports.add(e.NOT_TEXT, _at_end_of(name, before), reason=reason)
        return "", reports.found


def _at_end_of(name: str, text: str) -> Span:
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    return Span(name, line, column, line, column)


def _unreadable(sources: Sequence[tuple[str, str]]) -> list[Diagnostic]:
    """Sizes and contents that are not worth a look by the parser."""
    size = sum(len(text) for _, text in sources)
    for name, text in sources:
        reports = Reports(name)
        zero = text.find("\0")
        if size > MAX_CHARACTERS:
            start = Span(name, 1, 1, 1, 1)
            reports.add(e.TOO_LARGE, start, size=size, limit=MAX_CHARACTERS)
            return reports.found
        if zero >= 0:
            span = _at_end_of(name, text[:zero])
            reports.add(e.NOT_TEXT, span, reason="it holds a zero byte")
            return reports.found
    return []


def _digest(sources: Sequence[tuple[str, str]]) -> str:
    """Of base names and texts: the same files in another folder are the same program."""
    sha = hashlib.sha256()
    for part in sorted((PurePath(name).name, text) for name, text in sources):
        for word in part:
            data = word.encode("utf-8", "surrogatepass")
            # The length keeps the parts apart: moving a letter from one to the next must show.
            sha.update(len(data).to_bytes(8, "big"))
            sha.update(data)
    return sha.hexdigest()
