"""The canonical spelling: what the older dialects wrote otherwise, as decision 18 has it.

A colon stands behind each member, members and fields are apart, durations and plain words need no
quotes, an event starts a workflow by its name alone, and a path has its parameters in braces. What
a change would give another meaning stays as it is.
"""

import re
from collections.abc import Sequence

from backstay.core.errors import Fault
from backstay.lang import syntax as s
from backstay.lang.check.blocks import duration_of
from backstay.lang.errors import FORMAT_CHANGES
from backstay.lang.format.meaning import meaning, nodes
from backstay.lang.format.words import Words
from backstay.lang.lexer import PATH, lex
from backstay.lang.parser import grammar, loose, parse
from backstay.lang.parser.grammar import Slot
from backstay.lang.reports import Reports

DURATIONS = frozenset(
    {
        "integration.timeout",
        "circuit_breaker.timeout",
        "circuit_breaker.reset_after",
        "webhook.initial_interval",
        "endpoint.timeout",
        "workflow.timeout",
        "step.timeout",
        "job.timeout",
        "retry.initial_interval",
        "retry.max_interval",
    }
)
"""Members that are a duration whether it stands in quotes or not."""
_NO_COLON = frozenset({"fields", "body", "record", "schema", "checks", "error"})
_NO_EVENT = frozenset({"event", "schedule", "manual", "when"})
"""First words of a trigger that mean something else when they stand alone."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_DURATION = re.compile(r"(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+")


def respelled(text: str) -> str:
    """The text in the canonical spelling; a text with mistakes of form comes back as it is.

    Raises LANG123 rather than give back another program.
    """
    before = _sound(text)
    if before is None:
        return text
    words = Words(text, lex(text, Reports("")).tokens)
    for declaration in before.declarations:
        words.base = declaration.line
        _Speller(words, declaration).run()
    if not words.changed:
        return text
    made = words.written()
    after = _sound(made)
    if after is None or meaning(after) != meaning(before):
        raise Fault(FORMAT_CHANGES)
    return made


def _sound(text: str) -> s.File | None:
    reports = Reports("")
    file = parse(text, reports)
    return None if reports.found or reports.dropped else file


class _Speller:
    """One declaration."""

    def __init__(self, words: Words, declaration: s.Declaration) -> None:
        self.words = words
        self.declaration = declaration

    def run(self) -> None:
        declaration = self.declaration
        apart = declaration.path is not None and self._address(declaration.path)
        for node in nodes(declaration):
            if isinstance(node, s.Block) and node.members:
                self._apart(node, needed=apart and node is declaration.block)
            for name in node.__struct_fields__:
                self._separated(getattr(node, name))
        kind = declaration.keyword.name
        if declaration.statement is None:
            self._block(declaration.block, grammar.DECLARED_AS.get(kind, kind))

    # --- what stands between ---

    def _separated(self, found: object) -> None:
        """Commas between neighbours of one line, and colons of fields."""
        if not isinstance(found, tuple):
            return
        listed = [each for each in found if isinstance(each, s.Entry | s.FieldNode)]
        for one in listed:
            self._colon(one.name)
        for one in listed[1:]:
            index = self.words.first(one.span)
            before = self.words.tokens[index - 1]
            if before.text != "," and not self.words.tokens[index].first:
                self.words.insert(before.end, ",")

    def _colon(self, name: s.Ident) -> None:
        if self.words.after(name.span).text != ":":
            self.words.insert(self.words.tokens[self.words.last(name.span)].end, ":")

    def _apart(self, block: s.Block, *, needed: bool) -> None:
        """Members on lines of their own, once two of a line have no comma between them."""
        words = self.words
        starts = [words.first(each.span) for each in block.members]
        if not needed and all(
            words.tokens[place].first or words.tokens[place - 1].text == "," for place in starts[1:]
        ):
            return
        for place in (*starts, words.last(block.span)):
            token, before = words.tokens[place], words.tokens[place - 1]
            if not token.first:
                words.insert(token.start, "\n")
                if before.text == ",":
                    words.remove(before)

    # --- members ---

    def _block(self, block: s.Block, kind: str) -> None:
        for member in block.members:
            if kind == "steps" and isinstance(member.value, s.Block):
                self._block(member.value, _step_or_steps(member.name.name, member.value))
                continue
            slot = grammar.BLOCKS[kind].get(member.name.name)
            if slot is not None and not isinstance(member.value, s.FieldNode):
                self._member(member, kind, slot)

    def _member(self, member: s.Member, kind: str, slot: Slot) -> None:
        if isinstance(member.value, s.Block) and slot.block:
            self._block(member.value, slot.block)
            return
        if isinstance(member.value, s.Labelled) and slot.block:
            self._block(member.value.block, slot.block)
            return
        name = f"{kind}.{member.name.name}"
        after = self.words.after(member.name.span)
        if slot.kind in _NO_COLON:
            if after.text == ":":
                self.words.remove(after)
        elif name in loose.BARE and after.text != "{":
            self._colon(member.name)
        self._value(member.value, name, slot.kind)

    def _value(self, value: s.Value, name: str, kind: str) -> None:
        match value:
            case s.Literal_(literal="string") if name in DURATIONS:
                self._plain(value, _DURATION, known=duration_of(value) is not None)
            case s.Ident() if kind == "word":
                self._plain(value, _NAME)
            case s.Names(names=names) if name != "role.permissions":
                if all(_NAME.fullmatch(each.name) for each in names):
                    for each in names:
                        self._plain(each, _NAME)
            case s.TriggerNode(trigger="event", value=s.Ident() as event):
                self._event(value, event)

    def _plain(self, node: s.Node, pattern: re.Pattern[str], *, known: bool = True) -> None:
        """Without its quotes what is as clear without them."""
        token = self.words.tokens[self.words.first(node.span)]
        inside = token.text[1:-1]
        if token.kind == "string" and known and not token.first and pattern.fullmatch(inside):
            self.words.replace(token, token, f"{inside} ")

    def _event(self, node: s.TriggerNode, event: s.Ident) -> None:
        """`trigger: event "x"` as `trigger: x`."""
        words = self.words
        first, last = words.first(node.span), words.last(node.span)
        plain = _DOTTED.fullmatch(event.name) and event.name.split(".")[0] not in _NO_EVENT
        said = words.text[words.tokens[first].start : words.tokens[last].end]
        if plain and said != event.name:
            words.replace(words.tokens[first], words.tokens[last], f"{event.name} ")

    # --- the path of an endpoint ---

    def _address(self, path: s.Path) -> bool:
        """`"/users/:id"` as `/users/{id}` with its parameter in `path { }`; whether that needs a
        line of its own. The oldest endpoints have the types of their tables, which a file need not
        hold, so their paths stay."""
        words = self.words
        token = words.tokens[words.first(path.span)]
        plain = PATH.fullmatch(path.text) and not path.text.startswith("/*")
        if token.kind != "string" or not plain:
            return False
        names = list(dict.fromkeys(each.name for each in path.holes)) if path.colons else []
        if names and self.declaration.is_oldest:
            return False
        given = [each for each in self.declaration.block.members if each.name.name == "path"]
        for member in given:
            if isinstance(member.value, s.RecordFields):
                declared = {each.name.name for each in member.value.fields}
                names = [each for each in names if each not in declared]
        if names and (given or self._speaks_of_path()):
            # With the others beside them the declared ones would be another record.
            return False
        words.replace(token, token, f"{path.text} ")
        if names:
            self._path_member(names)
        return bool(names)

    def _path_member(self, names: Sequence[str]) -> None:
        """Below the brace, and below a comment that stands behind it."""
        words = self.words
        fields = ", ".join(f"{name}: string" for name in names)
        opening = words.first(self.declaration.block.span)
        place = words.tokens[opening].end
        line = words.text.find("\n", place)
        rest = words.text[place : line if line >= 0 else place].strip()
        if words.tokens[opening + 1].first and rest.startswith(("//", "#")):
            place = line
        end = "\n" if rest.startswith("/*") else ""
        words.insert(place, f"\npath {{ {fields} }}{end}")

    def _speaks_of_path(self) -> bool:
        """A bare `path` is a word of its own until a member of the name declares it."""
        return any(
            isinstance(node, s.NameExpr | s.Ident) and node.name == "path"
            for member in self.declaration.block.members
            if not isinstance(member.value, s.RequestNode)
            for node in nodes(member)
        )


def _step_or_steps(name: str, block: s.Block) -> str:
    step = grammar.BLOCKS["step"]
    together = name == "parallel" and not any(m.name.name in step for m in block.members)
    return "steps" if together else "step"
