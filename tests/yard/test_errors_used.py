"""An error that nobody raises is a promise of the catalogue that nothing keeps."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "backstay"


def declared(tree: ast.Module) -> Iterator[str]:
    """Names at the top that are bound to an ErrorEntry."""
    for node in tree.body:
        value = getattr(node, "value", None)
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if (
            isinstance(target, ast.Name)
            and isinstance(value, ast.Call)
            and isinstance(value.func, ast.Name)
            and value.func.id == "ErrorEntry"
        ):
            yield target.id


def used(tree: ast.Module) -> Iterator[str]:
    """Names that are read, but for those in a list of a catalogue (`ERRORS`)."""
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id.endswith("ERRORS"):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
                yield inner.id
            elif isinstance(inner, ast.Attribute):
                yield inner.attr


def test_every_declared_error_is_raised_or_referred_to_somewhere() -> None:
    trees = [ast.parse(path.read_bytes()) for path in SOURCE.rglob("*.py")]
    known = {name for tree in trees for name in declared(tree)}
    assert len(known) > 100
    assert known - {name for tree in trees for name in used(tree)} == set()
