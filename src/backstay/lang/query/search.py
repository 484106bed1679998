"""`"a phrase"` and `~word`: looked for in the fields that an entity marks `searchable`.

Letters of A to Z are folded. A phrase is found where its characters stand in this order; a word
also where one letter is wrong, missing or too many (the first one is right, and words of up to
three letters are as they are written). Both databases answer alike, which a text search
configuration of one of them would not.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from backstay.lang.program import Field, ScalarType
from backstay.lang.query.compute import Compute
from backstay.lang.query.numbers import is_text
from backstay.lang.query.scope import Scope, cannot
from backstay.lang.query.tree import Search, Value

_TEXT = ScalarType("string")
_LONGEST = 100


def search(node: Search, compute: Compute) -> str:
    """The condition. Raises CompilerError where no field may be looked through."""
    scope = compute.scope
    fields = _fields(scope)
    if not fields:
        what = f"no text search column configured for entity '{scope.entity.name}'"
        fix = "mark a text field searchable, or look in a field: name contains 'word'"
        raise cannot(what, node.at, fix)
    if len(node.text) > _LONGEST:
        what = f"a search has at most {_LONGEST} characters"
        raise cannot(what, node.at, "look for less")
    written = Value("string", node.text, node.at)
    mark = compute.slots.add("search", _TEXT, "fuzzy" if node.fuzzy else "contains", written)
    tests = [_test(scope, field, mark, fuzzy=node.fuzzy) for field in fields]
    return f"({' OR '.join(tests)})"


def _fields(scope: Scope) -> list[Field]:
    return [each for each in scope.columns if each.searchable and is_text(scope.type(each))]


def _test(scope: Scope, field: Field, mark: str, *, fuzzy: bool) -> str:
    """A field without a text holds no word: the answer is no, not unknown."""
    column = f"coalesce({scope.column(field)}, '')"
    if scope.dialect == "sqlite":
        one = f"{column} LIKE {'p.value' if fuzzy else mark} ESCAPE '\\'"
        return f"EXISTS (SELECT 1 FROM json_each({mark}) AS p WHERE {one})" if fuzzy else f"({one})"
    looked = f'lower({column} COLLATE "C") LIKE lower({"p" if fuzzy else mark} COLLATE "C")'
    if not fuzzy:
        return f"({looked})"
    return f"EXISTS (SELECT 1 FROM jsonb_array_elements_text({mark}) AS p WHERE {looked})"
