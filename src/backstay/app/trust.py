"""Who judges a request: the gateway in front of a socket, or the app itself on an address."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from backstay.app.errors import UNFIT
from backstay.app.keys.judge import Bearers, KeyBehindGateway, KeyJudge
from backstay.app.keys.service import Keys
from backstay.app.settings import AppSettings
from backstay.core.asgi import Judge
from backstay.core.clock import Clock
from backstay.core.dev_issuer import AUDIENCE, ISSUER, read_dev_issuer
from backstay.core.errors import Fault
from backstay.core.jwks import issuer_keys
from backstay.core.server import Listen
from backstay.core.settings import Secret
from backstay.core.tokens import KeySource, SharedSecret
from backstay.core.trust import Trust, require_auth_for
from backstay.core.validators import Jwt
from backstay.lang.program import Auth, Constant, Env, Expr, Program, ScalarType

if TYPE_CHECKING:
    from joserfc.jwk import Key

_STRING = ScalarType("string")


def trust_of(
    settings: AppSettings,
    program: Program,
    listen: Listen,
    env: Mapping[str, str | None],
    clock: Clock,
    keys: Keys,
) -> Judge:
    """Strict with a secret (JWT_SECRET, or the program's own) or published keys (JWT_JWKS_URL);
    without any on loopback only, where tokens of the development issuer are verified. Raises
    CORE012 for an open address without. API keys count everywhere beside tokens."""
    if listen.path:
        return KeyBehindGateway(Trust.socket(), keys)
    tokens = _tokens(settings, program, env, clock)
    if tokens is not None:
        return KeyJudge(Trust.strict(Bearers(keys, tokens)))
    require_auth_for(str(listen), None)
    known = read_dev_issuer(settings.data)
    developer = Jwt(SharedSecret(known), ISSUER, AUDIENCE, clock) if known else None
    return KeyJudge(Trust.loopback(Bearers(keys, developer)))


def _tokens(
    settings: AppSettings, program: Program, env: Mapping[str, str | None], clock: Clock
) -> Jwt | None:
    """The judge of an issuer's tokens, None without an issuer."""
    declared = program.auth
    secret, url = settings.jwt_secret, settings.jwt_jwks_url
    if declared is not None:
        secret = secret or Secret(_text(declared.secret, env))
        url = url or _text(declared.jwks_url, env)
    if not secret and not url:
        return None
    issuer = settings.jwt_issuer or (_text(declared.issuer, env) if declared else "") or ISSUER
    audience = (
        settings.jwt_audience or (_text(declared.audience, env) if declared else "") or AUDIENCE
    )
    keys = issuer_keys(secret, url, clock)
    if declared is not None and declared.algorithm:
        keys = Only(keys, declared.algorithm)
    return Jwt(keys, issuer, audience, clock)


class Only:
    """A KeySource that serves one algorithm of another's. Raises APP005 when there is no such one:
    then no token could ever be good."""

    def __init__(self, keys: KeySource, algorithm: str) -> None:
        if algorithm not in keys.algorithms:
            problem = f"no key is for {algorithm}, only for {', '.join(keys.algorithms)}"
            instead = "HS256 needs a secret, the others a jwks_url"
            raise Fault(UNFIT, where="auth: jwt", problem=problem, instead=instead)
        self._keys = keys
        self.algorithms: tuple[str, ...] = (algorithm,)

    async def key(self, kid: str, algorithm: str) -> "Key":
        return await self._keys.key(kid, algorithm)

    def version(self) -> int:
        return self._keys.version()


def with_provider(program: Program) -> Program:
    """The program with `auth NAME { method: jwt }` as its auth, where config has none.

    Raises APP005 for providers that would be ignored.
    """
    if not program.providers:
        return program
    first = program.providers[0]
    where = f"auth {first.name}"
    if program.auth is not None or len(program.providers) > 1:
        problem = "one program has one issuer of tokens, and this is another"
        raise Fault(UNFIT, where=where, problem=problem, instead="keep auth in config alone")
    if first.method != "jwt" or first.jwks_url is None:
        problem = f"the method {first.method or '?'} is not supported in this version"
        instead = "write method: jwt with a jwks_url; keys of clients come from codeai keys"
        raise Fault(UNFIT, where=where, problem=problem, instead=instead)
    auth = Auth(
        Constant("", _STRING),
        Constant(first.issuer, _STRING),
        Constant(first.audience, _STRING),
        first.jwks_url,
    )
    fields = {name: getattr(program, name) for name in Program.__struct_fields__}
    return Program(**fields | {"auth": auth})


def _text(expr: Expr | None, env: Mapping[str, str | None]) -> str:
    if isinstance(expr, Env):
        return env.get(expr.name) or ""
    return expr.value if isinstance(expr, Constant) and isinstance(expr.value, str) else ""
