"""Text to a `Query`, by recursive descent.

Weakest first: `or`, `and`, `not`, comparison, `+ -`, `* /`. Keywords are case-insensitive, and stay
usable as names of fields, because each is asked for only where it can stand.
"""

import msgspec

from backstay.core.nearest import nearest
from backstay.lang.query import errors as e
from backstay.lang.query.conditions import Conditions
from backstay.lang.query.cursor import CLAUSES, place
from backstay.lang.query.tokens import tokens
from backstay.lang.query.tree import (
    Assign,
    Column,
    Func,
    Operand,
    Order,
    Path,
    Query,
    Ref,
    Value,
)

AGGREGATES = ("count", "sum", "avg", "min", "max")
STATEMENTS = ("select", "update", "delete", *AGGREGATES)
_TESTS = (":", "=", "==", "!=", "<>", "<", "<=", ">", ">=")


def parse(text: str) -> Query:
    """The query of a text. Raises LexerError and ParserError."""
    return _Parser(tokens(text)).query()


class _Parser(Conditions):
    def query(self) -> Query:
        if self.ended():
            raise e.QueryError(e.EMPTY, line=1, column=1)
        verb = self.token.lower
        statement = verb in STATEMENTS
        if not statement and self._begins_like_one():
            wanted = nearest(verb, STATEMENTS)
            if wanted is not None:
                raise self.expected(wanted)
        if not statement or self.ahead().text in _TESTS:
            made = Query("filters", None, where=self.filters())
        else:
            self.take()
            made = getattr(self, f"_{verb}", self._aggregate)(verb)
        if not self.ended():
            raise self.expected("end of query")
        return made

    def _begins_like_one(self) -> bool:
        """`selct from Product`, `cuont(Product)`: filters have neither clauses nor calls."""
        return self.token.kind == "word" and (
            self.ahead().text == "(" or self.has_word("from", "set", *CLAUSES)
        )

    def _select(self, _verb: str) -> Query:
        columns: tuple[Column, ...] = ()
        if self.accept("*"):
            self.need_word("from")
        elif not self._from_follows():
            columns = self.listed(self._column)
            if not self.word("from") and (self.ended() or self._clause()):
                # `select Product where …`: the only name is the entity's.
                only = _name(columns[0]) if len(columns) == 1 else None
                if only is not None and only.name.lower() != "from":
                    return self._clauses(Query("select", only))
                raise self.expected("from")
        if not self.accept_word("from") and self.ahead().kind == "word" and not self._clause_next():
            raise self.expected(nearest(self.token.text, ("from", *CLAUSES)) or "from")
        return self._clauses(Query("select", self.name(), columns))

    def _clause_next(self) -> bool:
        """`select name Product where …`: the word `from` may be left out."""
        return self.ahead().lower in CLAUSES

    def _column(self) -> Column:
        if self.token.kind != "word" and not self.sign("(", "-"):
            raise self.expected("identifier")
        # `select from` stops too early; nobody means a field of that name at its end.
        value = self.operand()
        return Column(value, self.name() if self.accept_word("as") else None)

    def _aggregate(self, verb: str) -> Query:
        at = place(self.last)
        args: tuple[Operand, ...] = ()
        if self.sign("("):
            inside = self.parenthesis(lambda: self._inside(verb))
            if verb == "count" and inside and not self.word("from"):
                # `count(Product)` and `count(*) from Product` ask for the same number.
                only = _name(Column(inside[0]))
                if only is None:
                    raise self.expected("from")
                return self._counted(verb, Query(verb, only), Func(verb, (), at))
            args = inside
        elif verb != "count":
            if self._from_follows():
                raise self.expected("'('")
            args = (self.operand(),)
        self.accept_word("from")
        return self._counted(verb, Query(verb, self.name()), Func(verb, args, at))

    def _inside(self, verb: str) -> tuple[Operand, ...]:
        if verb == "count" and self.accept("*"):
            return ()
        return (self.operand(),)

    def _counted(self, verb: str, made: Query, value: Func) -> Query:
        column = Column(value, Ref(verb, value.at))
        return msgspec.structs.replace(self._clauses(made), columns=(column,))

    def _update(self, verb: str) -> Query:
        entity = self.name()
        self.need_word("set")
        return self._clauses(Query(verb, entity, assigned=self.listed(self._assign)))

    def _assign(self) -> Assign:
        field = self.name()
        self.need("=")
        return Assign(field, self.right())

    def _delete(self, verb: str) -> Query:
        if self._from_follows():
            self.take()
        return self._clauses(Query(verb, self.name()))

    def _from_follows(self) -> bool:
        after = self.ahead()
        return self.word("from") and after.kind == "word" and after.lower != "from"

    def _clause(self) -> bool:
        return self.token.lower in CLAUSES

    def _clauses(self, made: Query) -> Query:
        parts: dict[str, object] = {}
        while self._clause():
            word = self.take().lower
            name, value = self._one(word)
            if name in parts:
                raise self.expected("end of query", self.last)
            parts[name] = value
        return msgspec.structs.replace(made, **parts)

    def _one(self, word: str) -> tuple[str, object]:
        if word in ("with", "include"):
            return "include", self.listed(self.name)
        if word in ("where", "having"):
            return word, self.condition()
        if word in ("limit", "offset"):
            return word, self._whole()
        self.accept_word("by")
        return word, self.listed(self._ordered if word == "order" else self.operand)

    def _ordered(self) -> Order:
        value = self.operand()
        descending = self.accept_word("desc")
        if not descending:
            self.accept_word("asc")
        return Order(value, descending)

    def _whole(self) -> Value:
        token = self.token
        if token.kind == "param":
            self.take()
            return Value("param", token.value, place(token))
        if token.kind != "int" or token.text.startswith("-") or len(token.text) > 18:
            raise self.expected("a whole number")
        return Value("int", self.take().text, place(token))


def _name(column: Column) -> Ref | None:
    """The only name of what seemed to be a column."""
    value = column.value
    if column.name is None and isinstance(value, Path) and len(value.names) == 1:
        return value.names[0]
    return None
