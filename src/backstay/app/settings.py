"""What the app server can be told."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from backstay.app.errors import BAD_DATABASE, UNREADABLE_DATABASE
from backstay.core.errors import Fault
from backstay.core.process_settings import ProcessSettings
from backstay.core.settings import Option, Secret


class AppSettings(ProcessSettings, frozen=True):
    """Settings of `codeai server`; what the program itself reads by `env()` is not among them."""

    listen: Annotated[
        str, Option("address: HOST:PORT, :PORT or unix:/path", ("CODEAI_LISTEN",), "", "--listen")
    ] = ""
    port: Annotated[
        int,
        Option("port on loopback, unless `listen` is given", ("PORT",), "", "--port"),
        msgspec.Meta(ge=0, le=65535),
    ] = 8080
    database_url: Annotated[
        Secret,
        Option(
            "sqlite:///path or postgres://user:password@host/name; unset: app.db in `data`",
            ("DATABASE_URL",),
            "databaseUrl",
        ),
    ] = Secret("")
    max_connections: Annotated[
        int,
        Option(
            "most connections to the database, the writer among them",
            ("DATABASE_MAX_CONNECTIONS",),
            "maxConnections",
        ),
        msgspec.Meta(ge=2, le=500),
    ] = 25
    database_timeout: Annotated[
        float,
        Option(
            "longest that a statement on PostgreSQL may take",
            ("DATABASE_TIMEOUT",),
            "databaseTimeout",
            duration=True,
        ),
        msgspec.Meta(ge=0.1),
    ] = 10.0
    durability: Annotated[
        Literal["power", "process"],
        Option("what an answer survives", ("CODEAI_DURABILITY",), "durability", "--durability"),
    ] = "power"
    migrate: Annotated[
        bool,
        Option(
            "change tables that are behind the program, if nothing stored is touched",
            ("CODEAI_MIGRATE",),
            "migrate",
            "--migrate",
        ),
    ] = False
    jwt_secret: Annotated[
        Secret, Option("HS256 secret; unset: the program's own", ("JWT_SECRET",), "jwtSecret")
    ] = Secret("")
    jwt_issuer: Annotated[
        str, Option("issuer that tokens must name; unset: the program's", ("JWT_ISSUER",))
    ] = ""
    jwt_audience: Annotated[
        str, Option("audience that tokens must name; unset: the program's", ("JWT_AUDIENCE",))
    ] = ""
    jwt_jwks_url: Annotated[
        str,
        Option("address of the issuer's public keys", ("JWT_JWKS_URL",), "jwtJwksUrl"),
        msgspec.Meta(pattern=r"^(https?://\S+)?$"),
    ] = ""
    redis_url: Annotated[
        Secret,
        Option("redis://host:6379/0 for the cache; unset: memory", ("REDIS_URL",), "redisUrl"),
    ] = Secret("")
    egress_allow: Annotated[
        tuple[str, ...],
        Option("near addresses that integrations may call", ("EGRESS_ALLOW",), "egressAllow"),
    ] = ()

    audit: Annotated[
        Literal["all", "admin", "off"],
        Option("who changed what: all requests, those of administrators, none", ("AUDIT",)),
    ] = "all"
    audit_keep: Annotated[
        float,
        Option("how long it is kept; 0s: for ever", ("AUDIT_KEEP",), "auditKeep", duration=True),
        msgspec.Meta(ge=0),
    ] = 90 * 86400.0
    cors_origins: Annotated[
        tuple[str, ...],
        Option(
            "sites whose pages may ask, like https://shop.example; unset: the program's",
            ("CORS_ORIGINS",),
            "corsOrigins",
        ),
    ] = ()
    max_body: Annotated[
        int,
        Option("most bytes of a request's body", ("MAX_BODY",), "maxBody"),
        msgspec.Meta(ge=1024, le=256 * 1024 * 1024),
    ] = 1_048_576
    slow_query: Annotated[
        float,
        Option(
            "statements that take this long are logged; 0s: none are timed",
            ("SLOW_QUERY",),
            "slowQuery",
            duration=True,
        ),
        msgspec.Meta(ge=0),
    ] = 0.5
    reload: Annotated[
        bool,
        Option("serve the program anew when its files change", ("CODEAI_RELOAD",), "", "--reload"),
    ] = False

    history_keep: Annotated[
        float,
        Option(
            "how long histories of executions, events and job runs are kept; 0s: for ever",
            ("HISTORY_KEEP",),
            "historyKeep",
            duration=True,
        ),
        msgspec.Meta(ge=0),
    ] = 30 * 86400.0

    @property
    def address(self) -> str:
        """Where to listen; `listen` wins over `port`."""
        return self.listen or f"127.0.0.1:{self.port}"

    def store(self) -> Path | None:
        """The database file, None for a PostgreSQL server. Raises APP001 for anything else, APP076
        for the address of a server that no driver could read."""
        url = self.database_url.reveal()
        if not url:
            return self.data / "app.db"
        scheme, found, path = url.partition("://")
        if found and scheme in ("postgres", "postgresql"):
            _refuse_unreadable(url)
            return None
        if not found or scheme != "sqlite" or not path.removeprefix("/"):
            raise Fault(BAD_DATABASE, scheme=scheme if found else "no scheme")
        return Path(path.removeprefix("/"))


def _refuse_unreadable(url: str) -> None:
    """What is wrong is told without any of it: where an address is cut wrongly, a piece of the
    password stands where the port should. Several hosts with commas are the driver's to try."""
    try:
        places = urlsplit(url).netloc.rpartition("@")[2].split(",")
    except ValueError:
        raise Fault(UNREADABLE_DATABASE, problem="its brackets do not fit") from None
    for place in places:
        _, colon, port = place.rpartition("]")[2].rpartition(":")
        if colon and port and not (port.isascii() and port.isdigit() and int(port) < 65536):
            raise Fault(UNREADABLE_DATABASE, problem="its port is no number up to 65535")
