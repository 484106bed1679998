"""From tokens to the tree, by recursive descent, split by subject. `parse` is the way in."""

from backstay.lang.parser.declarations import parse

__all__ = ["parse"]
