"""Programs to start from, as `codeai new` writes them. Each one is served as it is."""

from importlib import resources

STARTERS = ("api", "workflow", "job")
"""The names of the programs beside this module."""


def starter(name: str) -> str:
    """The text of a starter. Raises KeyError for a name that is not in `STARTERS`."""
    if name not in STARTERS:
        raise KeyError(name)
    return (resources.files(__name__) / f"{name}.cai").read_text(encoding="utf-8")
