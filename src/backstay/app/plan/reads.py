"""One row by its key, and related rows beside it."""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Sequence
from typing import cast

from backstay.app.errors import BAD_QUERY, NO_ROW
from backstay.app.plan.checks import Mistake, fault_of
from backstay.app.plan.chosen import FIELDS, Chosen, chosen, cut, picked
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.includes import Includes, read_rule
from backstay.app.plan.params import Params, Query, refuse_unknown
from backstay.app.plan.rows import Rows
from backstay.app.plan.tables import quote, table
from backstay.app.plan.unit import Row, Scope, Unit
from backstay.app.values import SqlValue, as_text
from backstay.core.errors import Fault
from backstay.lang.program import OneOf, Program


class Reader:
    """Reads shaped rows of one entity with its includes."""

    def __init__(self, program: Program, entity: str, include: Sequence[str]) -> None:
        self._rows = table(program, entity)
        self._rule = read_rule(program, self._rows)
        self._includes = Includes(program, self._rows, include)
        self.members = (*self._rows.names, *include)
        key = f"{self._rows.name}.{quote(self._rows.key)}"
        self._text = f"SELECT {self._rows.select} FROM {self._rows.source()} WHERE {key} = ?"

    def several(self, fields: Chosen = None) -> bool:
        """Whether it takes more than one statement."""
        return self._includes.more(fields)

    def find(
        self, unit: Unit, key: object, *, guarded: bool = True, fields: Chosen = None
    ) -> Row | None:
        """The row as JSON values, None when there is none that may be read."""
        text, params = self._text, [cast("SqlValue", key)]
        if guarded and unit.guarded and self._rule is not None:
            text += f" AND {self._rule.text}"
            params += self._rule.bind(unit, {})
        text, params = self._includes.along(unit, (text, params), "", fields)
        found = unit.conn.execute(text, params)
        if not found:
            return None
        row = self._rows.shaped(found[0])
        self._includes.put(unit, [row], found, fields)
        return cut(row, fields)


class OnePlan:
    """`returns: ENTITY` by the path's key."""

    def __init__(self, program: Program, spec: OneOf, query: Params) -> None:
        self._reader = Reader(program, spec.entity, spec.include)
        self._key = Evaluator(program, Rows(program, guarded=True)).closure(spec.key)
        self._query = query
        self._entity = spec.entity
        self._picked = picked(spec.picked)
        self._members = spec.picked or self._reader.members

    def parse(self, given: Query) -> tuple[Chosen, dict[str, object]]:
        """The wanted members, and the declared query parameters. Raises APP012."""
        mistakes: list[Mistake] = []
        values = self._query.collect(given, mistakes)
        known, fields = self._query.names, None
        if FIELDS not in known:
            known = (*known, FIELDS)
            texts = given.get(FIELDS, ())
            fields = chosen(",".join(texts) if texts else None, self._members, mistakes)
        refuse_unknown(given, known, mistakes)
        if mistakes:
            raise fault_of(BAD_QUERY, "the query", mistakes)
        return fields, values

    def several(self, fields: Chosen = None) -> bool:
        """Whether it takes more than one statement."""
        return self._reader.several(fields)

    def run(self, unit: Unit, scope: Scope, fields: Chosen = None) -> Row:
        """Raises APP013 (404) when there is no such row for this principal."""
        key = self._key(unit, scope)
        row = self._reader.find(unit, key, fields=fields or self._picked)
        if row is None:
            raise Fault(NO_ROW, entity=self._entity, key=as_text(key))
        return row
