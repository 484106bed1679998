"""The program as a whole, and its small declarations."""

from backstay.lang.program.endpoints import Endpoint
from backstay.lang.program.entities import Entity, Model
from backstay.lang.program.outside import Event, Handler, Incoming, Integration, Webhook
from backstay.lang.program.rules import Settings
from backstay.lang.program.statements import Statement
from backstay.lang.program.values import Constant, Expr, Field, Frozen, ScalarType, Type
from backstay.lang.program.workflows import Job, Workflow


class Function(Frozen, frozen=True):
    """A function of the program."""

    name: str
    params: tuple[Field, ...]
    body: tuple[Statement, ...]
    result: Type


class Role(Frozen, frozen=True):
    name: str
    permissions: tuple[str, ...]


class Provider(Frozen, frozen=True):
    """`auth NAME { method … }`."""

    name: str
    method: str
    jwks_url: Expr | None = None
    issuer: str = ""
    audience: str = ""


class Middleware(Frozen, frozen=True):
    name: str
    type: str
    config: Settings


class Place(Frozen, frozen=True):
    """A place in the sources; line and column count from 1."""

    file: str
    line: int
    column: int


class Test(Frozen, frozen=True):
    """`test "name" { … }`; `place` is that of its name."""

    name: str
    place: Place
    body: tuple[Statement, ...]


class Auth(Frozen, frozen=True):
    """`config { auth: jwt {…} }`: HS256 with `secret`, or the keys that an issuer publishes at
    `jwks_url`. An `algorithm` is the only one that counts."""

    secret: Expr
    issuer: Expr = Constant("", ScalarType("string"))
    audience: Expr = Constant("", ScalarType("string"))
    jwks_url: Expr | None = None
    algorithm: str = ""


class Program(Frozen, frozen=True):
    """`hash` is the SHA-256 of the sources in the order of their names; it pins executions.

    `uses` names each construct of the language that the program uses (`endpoint.cache`,
    `statement.emit`), with its first places: a runtime serves the program if it runs all of them.
    """

    name: str
    version: str
    hash: str
    sources: tuple[tuple[str, str], ...]
    auth: Auth | None
    entities: tuple[Entity, ...]
    endpoints: tuple[Endpoint, ...]
    workflows: tuple[Workflow, ...]
    jobs: tuple[Job, ...]
    integrations: tuple[Integration, ...]
    events: tuple[Event, ...] = ()
    handlers: tuple[Handler, ...] = ()
    functions: tuple[Function, ...] = ()
    roles: tuple[Role, ...] = ()
    providers: tuple[Provider, ...] = ()
    middleware: tuple[Middleware, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    models: tuple[Model, ...] = ()
    script: tuple[Statement, ...] = ()
    tests: tuple[Test, ...] = ()
    settings: tuple[tuple[str, Settings], ...] = ()
    uses: tuple[tuple[str, tuple[Place, ...]], ...] = ()
    incoming: tuple[Incoming, ...] = ()

    def entity(self, name: str) -> Entity:
        """Raises KeyError; a checked program has no dangling name."""
        for entity in self.entities:
            if entity.name == name:
                return entity
        raise KeyError(name)
