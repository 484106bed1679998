"""The published JSON Schema (2020-12) of an intent: for other tools, and for people to read."""

from importlib import resources


def schema_text() -> str:
    """`intent.schema.json` as it is shipped."""
    return resources.files("backstay.patchgen").joinpath("intent.schema.json").read_text("utf-8")
