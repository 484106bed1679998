"""DATABASE_URL of a PostgreSQL database. Its password stays a Secret until asyncpg has it."""

from urllib.parse import urlsplit

from backstay.core.settings import Secret

SCHEMES = ("postgres", "postgresql")
DEFAULT_NAME = "codeai"
"""The database that a URL without a name means (seed C4)."""


class Address:
    """Where the database is. `where` is for people; `name` is the database's."""

    def __init__(self, url: Secret) -> None:
        parts = urlsplit(url.reveal())
        self.url = url
        self.name = parts.path.removeprefix("/") or DEFAULT_NAME
        place = parts.netloc.rpartition("@")[2] or "localhost"
        self.where = f"postgresql://{place}/{self.name}"
        if parts.password:
            Secret(parts.password)  # known to the redactor by itself, too
