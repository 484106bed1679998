"""The error table of the seed (P47–P56): message, cause, solution, found by any text that holds one
of its forms. Codes are found, too, with the words of the catalogue."""

import re
from collections.abc import Sequence

import msgspec

from backstay.patchgen.errors import ERRORS


class Row(msgspec.Struct, frozen=True):
    """One line of the table. `codes` are the errors that say it here."""

    message: str
    cause: str
    solution: str
    codes: tuple[str, ...]


_ROWS: Sequence[tuple[Row, str]] = (
    (
        Row("schema validation failed", "Invalid JSON structure", "Check schema requirements",
            ("PATCH001", "PATCH020", "PATCH021", "PATCH022")),
        r"schema validation failed|missing required field|value does not match pattern",
    ),
    (
        Row("invalid JSON", "Malformed JSON", "Validate JSON syntax", ("PATCH010",)),
        r"invalid json|unexpected end of json|invalid character",
    ),
    (
        Row("path traversal detected", "Security violation", "Use clean paths",
            ("PATCH064", "PATCH065")),
        r"path traversal( attempt)? detected|path escapes base directory",
    ),
    (
        Row("output directory does not exist", "Missing directory", "Create directory first",
            ("PATCH060",)),
        r"output directory( \S.*)? does not exist",
    ),
    (
        Row("permission denied", "Insufficient privileges", "Check file permissions",
            ("PATCH062", "PATCH063")),
        r"permission denied|operation not permitted",
    ),
    (
        Row("intent_type must be 'scaling'", "Wrong intent type", 'Use "scaling" only',
            ("PATCH023",)),
        r"intent_type must be|invalid intent type",
    ),
    (
        Row("replicas out of range", "Invalid replica count", "Use 0-100 range", ("PATCH026",)),
        r"replicas out of range",
    ),
    (
        Row("target does not match pattern", "Invalid K8s name", "Use lowercase alphanumeric",
            ("PATCH024", "PATCH069")),
        r"(target|namespace|value) does not match (required )?pattern|invalid target name",
    ),
    (
        Row("namespace too long", "Exceeds 63 chars", "Shorten namespace name", ("PATCH025",)),
        r"namespace too long",
    ),
    (
        Row("failed to marshal", "Serialization error", "Check data types", ("PATCH075",)),
        r"failed to marshal",
    ),
)  # fmt: skip


def table() -> list[Row]:
    """The whole table, in the order of the seed."""
    return [row for row, _ in _ROWS]


def search(text: str) -> list[Row]:
    """The rows whose message, in any of its forms, is in `text`, the most telling first; for a
    code, and for words that no form holds, entries of the catalogue."""
    wanted = text.strip()
    found = []
    for row, form in _ROWS:
        match = re.search(form, wanted, re.IGNORECASE)
        if match or wanted.upper() in row.codes:
            found.append((len(match.group()) if match else 0, row))
    if found:
        return [row for _, row in sorted(found, key=lambda pair: -pair[0])]
    return [
        Row(entry.message, entry.cause, entry.fix, (entry.code,))
        for entry in ERRORS
        if wanted and (wanted.upper() == entry.code or wanted.lower() in entry.message.lower())
    ]
