"""Diagnostics as a person reads them: the place, the line, a caret, what to do."""

from collections.abc import Mapping, Sequence

from backstay.lang.diagnostics import Diagnostic, Span

MOST = 100
"""More are counted, not shown."""
_WIDTH = 160


def render(found: Sequence[Diagnostic], sources: Mapping[str, str]) -> str:
    """All diagnostics, at most `MOST`; `sources` are texts by file name."""
    lines = {name: text.split("\n") for name, text in sources.items()}
    shown = [one(each, lines.get(each.span.file, ())) for each in found[:MOST]]
    if len(found) > MOST:
        shown.append(f"and {len(found) - MOST} more")
    return "\n\n".join(shown)


def one(diagnostic: Diagnostic, lines: Sequence[str]) -> str:
    """One diagnostic over the lines of its file."""
    span = diagnostic.span
    place = f"{span.file}:{span.line}:{span.column}"
    head = f"{place}: {diagnostic.severity} {diagnostic.code}: {diagnostic.kind}: "
    parts = [head + diagnostic.message, *_excerpt(span, lines)]
    parts += [f"  {line}" for line in _advice(diagnostic)]
    return "\n".join(parts)


def _excerpt(span: Span, lines: Sequence[str]) -> list[str]:
    if not 0 < span.line <= len(lines):
        return []
    line = lines[span.line - 1].rstrip("\r")
    # A line can be a megabyte long; what matters is around the caret.
    start = max(0, span.column - 1 - _WIDTH // 2) if len(line) > _WIDTH else 0
    shown = "".join(c if c.isprintable() else " " for c in line[start : start + _WIDTH])
    last = span.end_column if span.end_line == span.line else len(line) + 1
    width = max(1, min(last - span.column, len(shown) - (span.column - 1 - start)))
    gutter = f"{span.line:>5} | "
    return [gutter + shown, " " * (len(gutter) + span.column - 1 - start) + "^" * width]


def _advice(diagnostic: Diagnostic) -> list[str]:
    advice = [f"{each.says}: {_where(each.span)}" for each in diagnostic.related]
    if diagnostic.edit:
        advice.append(f"fix: {diagnostic.edit.title}")
    if diagnostic.hint:
        advice.append(f"hint: {diagnostic.hint}")
    elif len(diagnostic.expected) > 1:
        advice.append(f"expected one of: {', '.join(diagnostic.expected[:20])}")
    return advice


def _where(span: Span) -> str:
    return f"{span.file}:{span.line}:{span.column}"
