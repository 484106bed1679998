"""Where mistakes are collected: one file at a time, bounded, never two for one place."""

from collections.abc import Mapping, Sequence

import msgspec

from backstay.core.errors import Fault, Plain
from backstay.lang.diagnostics import Diagnostic, Edit, Related, Span
from backstay.lang.errors import Rule
from backstay.lang.syntax import Range

MOST_RELATED = 10
MOST_PLACES = 20
"""Kept of each construct that a file uses."""
MOST = 500
"""More than this is not read by anybody; what comes after is only counted."""


class Reports:
    """Diagnostics of one file. `base` is the line of the declaration that is being looked at."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.base = 0
        self.found: list[Diagnostic] = []
        self.dropped = 0
        self.cut = False
        """What a part of the text would have declared is not known."""
        self.uses: dict[str, list[Span]] = {}
        """Which constructs the file uses, and where: see `Program.uses`."""
        self._lines: set[tuple[int, str]] = set()
        self._suspected: list[tuple[Rule, Span, Edit]] = []

    def note(self, construct: str, span: Span) -> None:
        """Remember that the file uses a construct; a few places of each are enough."""
        places = self.uses.get(construct)
        if places is None:
            self.uses[construct] = [span]
        elif len(places) < MOST_PLACES:
            places.append(span)

    def add(
        self,
        rule: Rule,
        span: Span,
        *,
        expected: Sequence[str] = (),
        related: Sequence[Related] = (),
        edit: Edit | None = None,
        **values: Plain,
    ) -> None:
        """Record a mistake; keyword arguments fill the rule's words. See `put`."""
        self.put(rule, span, values, expected=expected, related=related, edit=edit)

    def put(
        self,
        rule: Rule,
        span: Span,
        values: Mapping[str, Plain],
        *,
        expected: Sequence[str] = (),
        related: Sequence[Related] = (),
        edit: Edit | None = None,
    ) -> None:
        """Record a mistake. Of a line with a mistake of form nothing else is said: the rest
        follows from it."""
        if rule.syntax:
            if (span.line, "syntax") in self._lines:
                return
            self._lines.add((span.line, "syntax"))
        elif (span.line, "syntax") in self._lines:
            return
        if len(self.found) >= MOST:
            self.dropped += 1
            return
        fault = Fault(rule, **values)
        self.found.append(
            Diagnostic(
                code=rule.code,
                kind=rule.kind,
                message=fault.message,
                span=span,
                severity=rule.severity,
                expected=tuple(expected),
                related=tuple(related),
                edit=edit,
                hint=fault.fix,
            )
        )

    def suspect(self, rule: Rule, span: Span, edit: Edit) -> None:
        """A mistake of form that may follow from another one of its line: it is recorded by
        `settle`, unless something else was said of the line until then."""
        self._suspected.append((rule, span, edit))

    def settle(self) -> None:
        """Record what was suspected and not explained."""
        for rule, span, edit in self._suspected:
            self.put(rule, span, {}, edit=edit)
        self._suspected.clear()

    def forgive(self, rule: Rule, span: Span) -> None:
        """Take back mistakes of `rule` inside `span`: what stands there is of another language."""
        begin, end = (span.line, span.column), (span.end_line, span.end_column)
        gone = [
            each
            for each in self.found
            if each.code == rule.code and begin <= (each.span.line, each.span.column) < end
        ]
        if gone:
            self.found = [each for each in self.found if each not in gone]
            lines = {each.span.line for each in self.found}
            self._lines -= {
                (each.span.line, "syntax") for each in gone if each.span.line not in lines
            }

    def also(self, place: int, related: Related) -> None:
        """Add a place to the diagnostic with this index, unless its line was not judged."""
        if place < len(self.found) and len(self.found[place].related) < MOST_RELATED:
            first = self.found[place]
            self.found[place] = msgspec.structs.replace(first, related=(*first.related, related))

    def adopt(self, other: "Reports", down: int) -> None:
        """Take what was found in a part of this file that begins `down` lines below its top."""
        self.found += [_lowered(each, down) for each in other.found[: MOST - len(self.found)]]
        self.dropped += other.dropped
        self.cut |= other.cut
        self._lines |= {(line + down, rule) for line, rule in other._lines}

    def at(self, span: Range) -> Span:
        """The absolute place of a range of the current declaration."""
        return Span(
            self.file,
            self.base + span.line,
            span.column,
            self.base + span.end_line,
            span.end_column,
        )

    @property
    def full(self) -> bool:
        """Nothing more is kept."""
        return len(self.found) >= MOST

    @property
    def crowded(self) -> bool:
        """So many mistakes that searching for suggestions is no longer worth its time."""
        return len(self.found) > 100


def _lowered(diagnostic: Diagnostic, down: int) -> Diagnostic:
    if not down:
        return diagnostic
    edit = diagnostic.edit
    return msgspec.structs.replace(
        diagnostic,
        span=_down(diagnostic.span, down),
        related=tuple(Related(_down(each.span, down), each.says) for each in diagnostic.related),
        edit=Edit(edit.title, _down(edit.span, down), edit.text) if edit else None,
    )


def _down(span: Span, lines: int) -> Span:
    return Span(span.file, span.line + lines, span.column, span.end_line + lines, span.end_column)
