"""The one spelling that is refused for good: tables inside `database`.

`users { id uuid primary_key }` has no types of its own, so the answer is the entity it stands for,
in the place of the whole `database { … }`: an entity cannot stand inside.
"""

from collections.abc import Mapping, Sequence

from backstay.lang import errors as e
from backstay.lang.diagnostics import Edit, Span
from backstay.lang.lexer import Token
from backstay.lang.parser import grammar
from backstay.lang.parser.cursor import Cursor

_MODIFIERS = {
    "unique": "unique",
    "required": "required",
    "not_null": "required",
    "searchable": "searchable",
    "optional": "optional",
    "nullable": "optional",
}
_KEY = ("primary", "primary_key")
_REFERS = ("references", "ref")
_KNOWN = (*_KEY, *_MODIFIERS, "not", "null", "key", "default", *_REFERS, "auto", "check", "on")
_AS_IT_IS = "string text int float decimal bool uuid timestamp date duration json"
_TYPES = {name: name for name in _AS_IT_IS.split()}
_TYPES |= dict.fromkeys(("integer", "bigint", "smallint", "serial", "bigserial"), "int")
_TYPES |= dict.fromkeys(("datetime", "timestamptz"), "timestamp")
_TYPES |= dict.fromkeys(("double", "real", "number"), "float")
_TYPES |= {"boolean": "bool", "jsonb": "json", "numeric": "decimal"}
_KEYS_MADE = ("uuid", "int")
"""Types of a key that the runtime makes by itself."""
_NOW = ("now()", "now", "current_timestamp", "current_date")
_MAKES_IDS = ("gen_random_uuid()", "uuid_generate_v4()", "uuid()")


def refuse_tables(c: Cursor, start: Token) -> None:
    """Behind `database NAME`: refuses a block with tables in it, with the whole written in entities
    as the edit, and raises; returns when there is no table. `start` is the word `database`."""
    found = _tables(c)
    if not found:
        return
    names = [c.ahead(first) for first, _ in found]
    entities = [_Table(c, first, last).entity() for first, last in found]
    rest = _without(c, start, found)
    text = "\n\n".join([*([rest] if rest else []), *entities])
    while c.token.kind != "end" and not (c.at("}") and c.braces == 1):
        c.take()
    end = c.token
    if c.at("}"):
        c.take()
    span = Span(c.reports.file, start.line, start.column, end.end_line, end.end_column)
    edit = Edit(f"write entities, outside of database:\n{text}", span, text)
    c.reports.forgive(e.UNEXPECTED_CHARACTER, span)
    raise c.snag(e.TABLE_STYLE, names[0].span(c.reports.file), edit=edit, name=names[0].text)


def _tables(c: Cursor) -> list[tuple[int, int]]:
    """First and last token of each `NAME { column type … }` in the block, counted from here."""
    found: list[tuple[int, int]] = []
    if not c.at("{"):
        return found
    known = grammar.BLOCKS["database"]
    depth, place, head = 1, 1, 0
    while depth and c.ahead(place).kind != "end":
        token = c.ahead(place)
        if token.kind == "op" and token.text == "{":
            name, before = c.ahead(place - 1), c.ahead(place - 2)
            # `users {` is a table, `model User {` is none; what a table holds begins with a word.
            alone = before.text in ("{", "}", ",") or (name.first and before.text not in known)
            inside = c.ahead(place + 1).kind == "ident" or c.ahead(place + 1).text == "}"
            if depth == 1 and name.kind == "ident" and name.text not in known and alone and inside:
                head = place - 1
            depth += 1
        elif token.kind == "op" and token.text == "}":
            depth -= 1
            if depth == 1 and head:
                found.append((head, place))
                head = 0
        place += 1
    return found


def _without(c: Cursor, start: Token, tables: Sequence[tuple[int, int]]) -> str:
    """The source of the block without its tables; nothing when it holds only tables."""
    at, parts, left = start.start, [], 0
    inside = 1
    for first, last in tables:
        left += first - inside
        inside = last + 1
        parts.append(c.text[at : c.ahead(first).start].rstrip())
        at = c.ahead(last).end
    depth, place = 1, inside
    while depth and c.ahead(place).kind != "end":
        depth += {"{": 1, "}": -1}.get(c.ahead(place).text, 0) * (c.ahead(place).kind == "op")
        place += 1
    left += place - 1 - inside
    parts.append(c.text[at : c.ahead(place - 1).end])
    return "".join(parts) if left > 0 else ""


class _Table:
    """One table, read as far as it can be understood: what has no word here is left out."""

    def __init__(self, c: Cursor, first: int, last: int) -> None:
        self.name = c.ahead(first).text
        self.tokens = [c.ahead(place) for place in range(first + 2, last)]
        self.at = 0
        self.fields: dict[str, dict[str, str]] = {}
        self.indexes: list[str] = []
        self.keyed = False

    def entity(self) -> str:
        while self.at < len(self.tokens):
            token = self._take()
            if token.kind != "ident" or self._constraint(token.text):
                continue
            self._field(token.text)
        if not self.keyed:
            self.fields.pop("id", None)
            self.fields = {"id": {"type": "uuid", "key": "primary, auto"}} | self.fields
        fields = [f"{name}: {', '.join(made.values())}" for name, made in self.fields.items()]
        lines = "".join(f"  {line}\n" for line in (*fields, *self.indexes))
        return f"entity {_singular(self.name)} {{\n{lines}}}"

    def _constraint(self, word: str) -> bool:
        """`unique (a, b)`, `foreign key (a) references t (id)` and other lines that are no column;
        what an entity has no word for is passed over."""
        after = self._next()
        if word in ("index", "unique") and after in ("(", ":"):
            self._index(unique=word == "unique")
        elif word == "constraint" and after.isidentifier():
            self._take()
        elif word in ("primary", "foreign") and after in ("key", "("):
            if after == "key":
                self._take()
            names = [each.text for each in self._inside() if each.kind == "ident"]
            made = self.fields.get(names[0], {}) if len(names) == 1 else {}
            if word == "primary" and made:
                self._key(made)
            self._modifiers("", made)
        elif word == "check" and after == "(":
            self._inside()
        else:
            return False
        return True

    def _take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def _next(self) -> str:
        """The next token of this line, or nothing."""
        if self.at >= len(self.tokens) or self.tokens[self.at].first:
            return ""
        return self.tokens[self.at].text

    def _inside(self) -> list[Token]:
        """What stands in the parentheses or brackets that follow, if they do."""
        found: list[Token] = []
        if self._next() not in ("(", "["):
            return found
        self._take()
        depth = 1
        while depth and self.at < len(self.tokens):
            token = self._take()
            if token.kind == "op":
                depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
            if depth:
                found.append(token)
        return found

    def _index(self, *, unique: bool) -> None:
        if self._next() == ":":
            self._take()
        names = [each.text for each in self._inside() if each.kind == "ident"]
        if self._next() == "unique":
            self._take()
            unique = True
        if names:
            self.indexes.append(f"index: [{', '.join(names)}]{' unique' * unique}")

    def _field(self, name: str) -> None:
        """`id uuid primary_key default "x"` as `id: uuid, primary, auto, default("x")`."""
        if self._next() == ":":
            self._take()
        typed = self._next().isidentifier() and self._next() not in _REFERS
        written = self._take().text if typed else "string"
        size = [each.text for each in self._inside() if each.text != ","]
        is_list = self.tokens[self.at - 1].text == "]" or self._next() == "["
        self._inside()
        kind = _TYPES.get(written, "string")
        made: dict[str, str] = {}
        if kind == "decimal":
            size = [*size, "12", "2"] if not size else [*size, "0"]
            kind = f"decimal({size[0]}, {size[1]})"
        made["type"] = f"list({kind})" if is_list else kind
        if kind in ("string", "text") and size and size[0].isdigit():
            made["max"] = f"max({size[0]})"
        self._modifiers(made["type"], made)
        if made.pop("key", ""):
            self._key(made)
        if "required" in made:
            made.pop("optional", None)
        self.fields[name] = made

    def _key(self, made: dict[str, str]) -> None:
        """A second key has no meaning; the value is still needed."""
        key = "primary, auto" if made["type"] in _KEYS_MADE else "primary"
        rest = {name: word for name, word in made.items() if name not in ("type", "required")}
        if key == "primary, auto":
            rest.pop("default", None)
        kind = made["type"]
        made.clear()
        made |= {"type": kind, "key": "required" if self.keyed else key} | rest
        self.keyed = True

    def _modifiers(self, kind: str, made: dict[str, str]) -> None:
        while self._next() in _KNOWN:
            word = self._take().text
            if word == "default":
                self._default(kind, made)
            elif word in _REFERS:
                self._ref(made)
            elif word in _KEY:
                made["key"] = "primary"
            elif word == "not" and self._next() == "null":
                self._take()
                made["required"] = "required"
            elif word in _MODIFIERS:
                made[_MODIFIERS[word]] = _MODIFIERS[word]
            elif word == "check":
                self._inside()
            elif word == "on":
                self._on()
        if self._next() == ",":
            self._take()

    def _on(self) -> None:
        """`on delete cascade`, `on update set null`: what happens to rows is said in `do`."""
        for words in (("delete", "update"), ("set", "no", "cascade", "restrict")):
            if self._next() in words:
                self._take()
        if self.tokens[self.at - 1].text in ("set", "no") and self._next().isidentifier():
            self._take()

    def _ref(self, made: dict[str, str]) -> None:
        """`references teams`, `references teams(id)`, `references teams.id`."""
        inside = self._inside()
        target = inside[0].text if inside else self._take().text if self._next() else ""
        if target.isidentifier():
            made["type"] = f"ref({_singular(target)})"
            made.pop("max", None)
            self._inside()
            if self._next() == ".":
                self._take()
                self._take()

    def _default(self, kind: str, made: dict[str, str]) -> None:
        inside = self._inside()
        if not inside and self._next():
            inside = [self._take()]
            if inside[0].kind == "ident" and self._next() == "(":
                self._inside()
        if inside:
            value = inside[0].value if inside[0].kind == "string" else inside[0].text
            fitting = _fitting(kind, str(value), made)
            if fitting:
                made["default"] = f"default({fitting})"


def _fitting(kind: str, value: str, made: Mapping[str, str]) -> str:
    """The default as a value of the type; nothing when it is none."""
    if made["type"].startswith("ref(") or value.lower() in ("null", *_MAKES_IDS):
        return ""
    if kind == "timestamp":
        return "now()" if value.lower() in _NOW else ""
    if kind == "bool":
        return value.lower() if value.lower() in ("true", "false") else ""
    if kind in ("int", "float") or kind.startswith("decimal("):
        return value if _is_number(value, whole=kind == "int") else ""
    if kind in ("string", "text"):
        escaped = value.strip("'").replace("\\", "\\\\").replace('"', '\\"').replace("{", "\\{")
        return f'"{escaped}"'
    return ""


def _is_number(text: str, *, whole: bool) -> bool:
    before, point, after = text.partition(".")
    fraction = not point or (not whole and after.isdigit())
    return before.isascii() and before.isdigit() and fraction


def _singular(table: str) -> str:
    if table.endswith("ies"):
        table = table[:-3] + "y"
    elif table.endswith("s") and not table.endswith("ss"):
        table = table[:-1]
    return "".join(part[:1].upper() + part[1:] for part in table.split("_"))
