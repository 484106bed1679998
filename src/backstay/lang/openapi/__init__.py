"""OpenAPI 3.1 out of a checked program: what a client may send and what it gets."""

from backstay.lang.openapi.document import document

__all__ = ["document"]
