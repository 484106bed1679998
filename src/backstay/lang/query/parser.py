"""Text to a `Query`, by recursive descent.

Weakest first: `or`, `and`, `not`, comparison. Keywords are case-insensitive, and stay usable as
names of fields, because each is asked for only where it can stand.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from backstay.lang.query import errors as e
from backstay.lang.query.conditions import Conditions
from backstay.lang.query.tokens import tokens
from backstay.lang.query.tree import Assign, Order, Query, Ref

T = TypeVar("T")
_AGGREGATES = ("count", "sum", "avg", "min", "max")
_CLAUSES = ("with", "include", "where", "order", "group", "having", "limit", "offset")
_TESTS = (":", "=", "==", "!=", "<>", "<", "<=", ">", ">=")


def parse(text: str) -> Query:
    """The query of a text. Raises LexerError and ParserError."""
    return _Parser(tokens(text)).query()


class _Parser(Conditions):
    def query(self) -> Query:
        if self.ended():
            raise e.QueryError(e.EMPTY, line=1, column=1)
        verb = self.token.lower
        statement = verb in ("select", "update", "delete", *_AGGREGATES)
        if not statement or self.ahead().text in _TESTS:
            made = Query("filters", None, where=self.filters())
        else:
            self.take()
            made = getattr(self, f"_{verb}", self._aggregate)(verb)
        if not self.ended():
            raise self.expected("end of query")
        return made

    def _select(self, _verb: str) -> Query:
        fields: list[Ref] = []
        if self.accept("*"):
            self.need_word("from")
        elif not self._from_follows():
            fields.append(self.name())
            while self.accept(","):
                fields.append(self.name())
            if not self.word("from") and (self.token.kind == "end" or self._clause()):
                # `select Product where …`: the only name is the entity's.
                if len(fields) == 1 and fields[0].name.lower() != "from":
                    return self._clauses(Query("select", fields[0]))
                raise self.expected("from")
        self.accept_word("from")
        return self._clauses(Query("select", self.name(), tuple(fields)))

    def _aggregate(self, verb: str) -> Query:
        fields: tuple[Ref, ...] = ()
        if verb == "count":
            if self.accept("("):
                # `count(Product)` and `count(*) from Product` ask for the same number.
                entity = None if self.accept("*") else self.name()
                self.need(")")
                if entity is not None and not self.word("from"):
                    return self._clauses(Query(verb, entity))
                if entity is not None:
                    fields = (entity,)
        elif self.accept("("):
            fields = (self.name(),)
            self.need(")")
        elif not self._from_follows():
            fields = (self.name(),)
        else:
            raise self.expected("'('")
        self.accept_word("from")
        return self._clauses(Query(verb, self.name(), fields))

    def _update(self, verb: str) -> Query:
        entity = self.name()
        self.need_word("set")
        return self._clauses(Query(verb, entity, assigned=self._listed(self._assign)))

    def _assign(self) -> Assign:
        field = self.name()
        self.need("=")
        return Assign(field, self.value())

    def _delete(self, verb: str) -> Query:
        if self._from_follows():
            self.take()
        return self._clauses(Query(verb, self.name()))

    def _from_follows(self) -> bool:
        after = self.ahead()
        return self.word("from") and after.kind == "word" and after.lower != "from"

    def _clause(self) -> bool:
        return self.token.lower in _CLAUSES

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
            return "include", self._listed(self.name)
        if word in ("where", "having"):
            return word, self.condition()
        if word in ("limit", "offset"):
            return word, self._whole()
        self.accept_word("by")
        return word, self._listed(self._ordered if word == "order" else self.name)

    def _ordered(self) -> Order:
        field = self.name()
        descending = self.accept_word("desc")
        if not descending:
            self.accept_word("asc")
        return Order(field, descending)

    def _whole(self) -> int:
        token = self.token
        if token.kind != "int" or token.text.startswith("-") or len(token.text) > 18:
            raise self.expected("a whole number")
        return int(self.take().text)

    def _listed(self, read: Callable[[], T]) -> tuple[T, ...]:
        found = [read()]
        while self.accept(","):
            found.append(read())
        return tuple(found)
