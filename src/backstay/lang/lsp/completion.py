"""What may stand where a cursor is: members of the block, values of the member, names that are
declared, fields behind a point."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from backstay.lang.check.actions import ACTIONS
from backstay.lang.check.declared import MIDDLEWARE
from backstay.lang.check.endpoints import AUTH, METHODS
from backstay.lang.check.outside import AUTHS, TYPES
from backstay.lang.check.retries import BACKOFFS
from backstay.lang.lexer import lex
from backstay.lang.library import LIBRARY
from backstay.lang.lsp.around import RECORDS, Around
from backstay.lang.lsp.index import Index, written
from backstay.lang.parser.grammar import BLOCKS, DECLARATIONS, title
from backstay.lang.program import Program
from backstay.lang.query.conditions import WORDS
from backstay.lang.query.cursor import CLAUSES
from backstay.lang.query.parser import AGGREGATES
from backstay.lang.reports import Reports

_TYPES = ("string", "text", "int", "float", "bool", "uuid", "timestamp", "date", "duration", "json")
_TYPE_FORMS = ("decimal(10, 2)", "enum(…)", "ref(…)", "list(…)")
_MODIFIERS = ("required", "optional", "unique", "default(…)", "min(…)", "max(…)", "pattern(…)")
_OF_ENTITY = ("primary", "auto", "auto_update", "searchable", "index", "via(…)")
_STATEMENTS = (
    *("let", "var", "create", "update", "delete", "restore"),
    *("for", "if", "fail", "start", "emit", "return"),
)
_OF_ROWS = ("create", "update", "delete", "restore", "in")
_TAKEN = ("path", "query", "body", "headers")
_BODIES = ("do", "on_fail", "on_complete", "else", "for", "if", "then")
_USER = ("id", "sub", "tenant", "email", "name", "roles", "scopes", "has")
_ACTIONS = ("action", "on_fail", "on_success", "on_complete", "send", "compensate", "fallback")
_QUERY = ("select", "from", *AGGREGATES, "update", "set", "delete", *CLAUSES)
_TESTS = (*WORDS, "between", "and", "or", "not")
_RETRIES = tuple(f"3 times with {each}(1s, 60s)" for each in BACKOFFS)
_SCHEDULES = ("every 1h", '"0 2 * * *"')
_WORDS: Mapping[str, Sequence[str]] = {
    "endpoint.auth": AUTH,
    "operation.method": METHODS,
    "webhook.method": METHODS,
    "integration.type": TYPES,
    "integration.auth": tuple(f"{each}(…)" for each in AUTHS),
    "middleware.type": MIDDLEWARE,
    "job.schedule": _SCHEDULES,
    "workflow.retry": _RETRIES,
    "step.retry": _RETRIES,
    "job.retry": _RETRIES,
    "integration.retry": _RETRIES,
    "entity.soft_delete": ("true", "false"),
    "job.queue": ("critical", "default", "low"),
    "config.database": ("postgres { … }", "mongodb { … }"),
    "config.auth": ("jwt { … }",),
}
"""Values of members that are words; those of `timeout` and the like are durations."""
_DURATIONS = ("timeout", "reset_after", "default_cache_ttl", "initial_interval", "max_interval")


class Choice(NamedTuple):
    """`kind` is `keyword`, `type`, `function`, `value`, or that of a `Symbol`."""

    name: str
    kind: str
    detail: str = ""


def complete(index: Index, program: Program, name: str, text: str, offset: int) -> Sequence[Choice]:
    """The words that fit at `offset` of `text`, the source `name`, without those that only start
    alike."""
    around = Around(text, offset)
    return list(dict.fromkeys(_Choices(index, program, name, text[:offset], around).run()))


class _Choices:
    def __init__(
        self, index: Index, program: Program, name: str, before: str, around: Around
    ) -> None:
        self.index = index
        self.program = program
        self.before = before
        self.around = around
        self.id = f"{name}:{around.declared}"

    def run(self) -> Iterator[Choice]:
        around, line = self.around, self.around.line
        if line and line[-1] == ".":
            yield from self.after_point()
        elif not around.open:
            words = METHODS if line[-1:] == ["endpoint"] else DECLARATIONS if not line else ()
            yield from _keywords(words)
        elif line:
            yield from self.on_line()
        else:
            yield from self.members()

    # --- at the start of a line ---

    def members(self) -> Iterator[Choice]:
        around, block = self.around, self.around.block
        words = around.heads[-1] if around.heads else []
        if block in _BODIES or words[-2:-1] in (["do"], ["else"]):
            yield from _keywords(_STATEMENTS)
        elif self.entries(words):
            yield from self.given(words)
        elif block == "steps":
            return
        else:
            yield from _keywords(BLOCKS.get(block, ()), f"member of {title(block or 'block')}")

    def entries(self, words: list[str]) -> bool:
        """Whether the block is the record of a create, an update, a call, a start or an emit."""
        return any(each in words for each in ("create", "update", "call", "start", "emit"))

    def given(self, words: list[str]) -> Iterator[Choice]:
        index = self.index
        known = [word for word in words if word in index.fields]
        if "create" in words or "update" in words:
            for entity in known[:1]:
                yield from self.fields(entity)
        elif "start" in words:
            for each in self.program.workflows:
                if each.name in words:
                    yield from (Choice(field.name, "field") for field in each.input)
        elif "emit" in words:
            for event in self.program.events:
                if event.name in words:
                    yield from (Choice(field.name, "field") for field in event.payload)
        else:
            yield from self.holes(words)

    def holes(self, words: list[str]) -> Iterator[Choice]:
        """The arguments that the path of an operation wants."""
        for outside in self.program.integrations:
            for each in outside.operations if outside.name in words else ():
                if each.name in words:
                    parts = (part for part in each.path.split("/") if part.startswith("{"))
                    yield from (Choice(part.strip("{}"), "field") for part in parts)

    # --- behind something on its line ---

    def on_line(self) -> Iterator[Choice]:
        line, last = self.around.line, self.around.line[-1]
        if line[-2:] in (["ref", "("], ["list", "("], ["paginated", "("]):
            yield from self.named("entity")
        elif last in _OF_ROWS and line[0] not in ("returns", "query"):
            yield from self.named("entity")
            if last == "in":
                yield from self.values()
        elif last == "start":
            yield from self.named("workflow")
        elif last == "emit" or line[-2:] in (["emit", ":"], ["trigger", ":"], ["emit", "("]):
            yield from self.named("event")
        elif line[-2:] == ["call", ":"]:
            yield from self.named("integration")
        elif "[" in line and line[0] in ("filter", "sort", "include", "index", "roles"):
            yield from self.in_brackets(line[0])
        elif line[:2] == ["query", ":"] or line[-2:] == ["query", ":"] or "query" in line:
            yield from self.query()
        else:
            yield from self.of_member()

    def in_brackets(self, member: str) -> Iterator[Choice]:
        if member == "roles":
            yield from self.named("role")
            return
        own = [word for word in self.around.head if word in self.index.fields]
        for entity in own or self.index.fields:
            yield from self.fields(entity)

    def query(self) -> Iterator[Choice]:
        yield from _keywords((*_QUERY, *_TESTS))
        yield from self.named("entity")
        for word in self.around.line:
            yield from self.fields(word)

    def of_member(self) -> Iterator[Choice]:
        block, line = self.around.block, self.around.line
        member = self.around.member()
        words = _WORDS.get(f"{block}.{member}")
        if block in ("entity", *RECORDS) and line[1:2] == [":"] and member not in BLOCKS["entity"]:
            yield from self.of_field()
        elif words is not None:
            yield from (Choice(each, "value") for each in words)
        elif member in _DURATIONS:
            yield from (Choice(each, "value") for each in ("10s", "30s", "5m", "1h"))
        elif member in _ACTIONS:
            yield from _keywords(ACTIONS)
            yield from self.named("workflow")
            yield from self.named("function")
        elif member == "middleware":
            yield from self.named("middleware")
        elif member == "returns" or line[0] == "returns":
            yield from (Choice(each, "type") for each in ("paginated(…)", "list(…)", "void"))
            yield from self.named("entity")
        else:
            yield from self.values()

    def of_field(self) -> Iterator[Choice]:
        """The type right after the colon, modifiers behind it."""
        if self.around.line[-1] == ":":
            yield from (Choice(name, "type") for name in (*_TYPES, *_TYPE_FORMS))
            return
        yield from _keywords(_MODIFIERS)
        if self.around.block == "entity":
            yield from _keywords(_OF_ENTITY)

    def values(self) -> Iterator[Choice]:
        """Anything that an expression may begin with."""
        for place in self.index.places:
            mine = place.symbol.owner == self.id or place.symbol.owner == "script"
            if place.defines and place.symbol.kind == "variable" and mine:
                yield Choice(place.symbol.name, "variable", place.detail)
        for function in LIBRARY.values():
            yield Choice(function.name, "function", function.signatures()[0])
        yield Choice("env", "function", 'env("NAME", "default")')
        yield from self.named("function")
        yield from self.named("entity")
        if "where" in self.around.line:
            for word in self.around.line:
                yield from self.fields(word)
        yield from _keywords(("true", "false", "null", "not"))
        if self.around.keyword == "endpoint":
            yield from _keywords(("user", *_TAKEN))
        if self.around.keyword in ("workflow", "job"):
            yield from _keywords(("steps",))

    # --- behind a point ---

    def after_point(self) -> Iterator[Choice]:
        names = self.around.path()
        head = names[0] if names else ""
        if head == "user":
            yield from (Choice(name, "field") for name in _USER)
        elif head == "steps":
            yield from self.declared("step", self.id)
        elif head in _TAKEN and self.around.keyword == "endpoint":
            yield from self.declared("variable", f"{self.id}.{head}")
        elif head in self.index.names["integration"]:
            for outside in self.program.integrations:
                if outside.name == head:
                    for each in outside.operations:
                        yield Choice(each.name, "operation", f"{each.method} {each.path}")
        elif names:
            entity = head if head in self.index.fields else self.entity_of(head)
            for name in names[1:]:
                entity = self.index.entity_of(entity, name)
            yield from self.fields(entity)

    def entity_of(self, name: str) -> str:
        """The entity of a variable: by its declared type, or by the line where it got its value."""
        for place in self.index.places:
            if place.defines and place.symbol.name == name and place.symbol.owner == self.id:
                found = [word for word in _words(place.detail) if word in self.index.fields]
                if found:
                    return found[0]
        for line in reversed(self.before.split("\n")):
            words = _words(line)
            if name in words and any(word in words for word in ("let", "for", "ref", "in")):
                found = [
                    word for word in words[words.index(name) + 1 :] if word in self.index.fields
                ]
                if found:
                    return found[0]
        # Inside a condition a bare name is a field of the row that is spoken of.
        for word in self.around.line:
            leads = self.index.entity_of(word, name)
            if leads:
                return leads
        return ""

    # --- names ---

    def named(self, kind: str) -> Iterator[Choice]:
        return (Choice(name, kind) for name in sorted(self.index.names[kind]))

    def fields(self, entity: str) -> Iterator[Choice]:
        for name, node in self.index.fields.get(entity, {}).items():
            yield Choice(name, "field", written(node))

    def declared(self, kind: str, owner: str) -> Iterator[Choice]:
        for place in self.index.places:
            symbol = place.symbol
            if symbol.kind == kind and place.defines and symbol.owner == owner:
                yield Choice(symbol.name, kind, place.detail)


def _keywords(words: Iterable[str], detail: str = "") -> Iterator[Choice]:
    return (Choice(word, "keyword", detail) for word in words)


def _words(line: str) -> list[str]:
    return [token.text for token in lex(line, Reports("")).tokens]
