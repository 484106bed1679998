"""Backstay: a backend in one Python package that knows why it broke.

This package imports nothing by itself; each system is imported where it is used.
"""

__version__ = "0.1.0"
