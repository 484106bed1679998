"""What the language tells a person about a file: code, place, words, an edit where one helps."""

from typing import Literal

import msgspec


class Span(msgspec.Struct, frozen=True, order=True):
    """A stretch of source. Lines and columns count from 1, in characters; `end` is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


class Edit(msgspec.Struct, frozen=True):
    """Replace `span` by `text`; `title` says why."""

    title: str
    span: Span
    text: str


class Related(msgspec.Struct, frozen=True):
    """A second place that belongs to the story, such as `first declared here`."""

    span: Span
    says: str


class Diagnostic(msgspec.Struct, frozen=True):
    """One mistake. `kind` is the seed's word (`ScopeError`, `TypeError`, …), `code` is permanent
    (`LANG012`), `expected` lists what would have been right where that is known, `hint` says
    what to do in words."""

    code: str
    kind: str
    message: str
    span: Span
    severity: Literal["error", "warning"] = "error"
    expected: tuple[str, ...] = ()
    related: tuple[Related, ...] = ()
    edit: Edit | None = None
    hint: str = ""
