"""References in a body, checked before the action runs: all that point nowhere, in one answer."""

from collections.abc import Callable, Iterator

from backstay.app.errors import INVALID
from backstay.app.plan.checks import Mistake, fault_of
from backstay.app.plan.faults import missing
from backstay.app.plan.tables import Table, table
from backstay.app.plan.unit import Unit
from backstay.lang.program import ListType, Program, RecordType, RefType, Type

Key = str | int
Found = Iterator[tuple[str, str, Key]]
Finder = Callable[[object, str], Found]


class References:
    """Finds the references of values of one type and looks them up, one statement per entity."""

    def __init__(self, program: Program, kind: Type) -> None:
        self._find = _finder(kind)
        self._tables: dict[str, Table] = {
            entity.name: table(program, entity.name) for entity in program.entities
        }

    def check(self, unit: Unit, values: object) -> None:
        """Raises APP011 that names each field whose row does not exist."""
        if self._find is None:
            return
        wanted: dict[str, list[tuple[str, Key]]] = {}
        for path, entity, key in self._find(values, ""):
            wanted.setdefault(entity, []).append((path, key))
        mistakes: list[Mistake] = []
        for entity, places in wanted.items():
            absent = set(missing(unit.conn, self._tables[entity], [key for _, key in places]))
            mistakes += [
                Mistake(path, f"no {entity} has the key {key}")
                for path, key in places
                if key in absent
            ]
        if mistakes:
            raise fault_of(INVALID, "the body", mistakes)


def _finder(kind: Type) -> Finder | None:
    """None when the type holds no reference at all."""
    match kind:
        case RefType(entity=entity):
            return lambda value, path: iter([(path, entity, value)])  # type: ignore[list-item]
        case ListType(item=item):
            inner = _finder(item)
            return None if inner is None else _in_list(inner)
        case RecordType(fields=fields):
            members = [
                (field.name, finder)
                for field in fields
                if (finder := _finder(field.type)) is not None
            ]
            return _in_record(members) if members else None
        case _:
            return None


def _in_list(inner: Finder) -> Finder:
    def find(value: object, path: str) -> Found:
        for place, item in enumerate(value if isinstance(value, list) else ()):
            yield from inner(item, f"{path}[{place}]")

    return find


def _in_record(members: list[tuple[str, Finder]]) -> Finder:
    def find(value: object, path: str) -> Found:
        for name, finder in members:
            held = value.get(name) if isinstance(value, dict) else None
            if held is not None:
                yield from finder(held, f"{path}.{name}" if path else name)

    return find
