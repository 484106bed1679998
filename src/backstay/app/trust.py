"""Who judges a request: the gateway in front of a socket, or the app itself on an address."""

from collections.abc import Mapping

from backstay.app.settings import AppSettings
from backstay.core.clock import Clock
from backstay.core.dev_issuer import AUDIENCE, ISSUER, read_dev_issuer
from backstay.core.jwks import issuer_keys
from backstay.core.server import Listen
from backstay.core.settings import Secret
from backstay.core.tokens import SharedSecret
from backstay.core.trust import Trust, require_auth_for
from backstay.core.validators import Jwt
from backstay.lang.program import Constant, Env, Expr, Program


def trust_of(
    settings: AppSettings,
    program: Program,
    listen: Listen,
    env: Mapping[str, str | None],
    clock: Clock,
) -> Trust:
    """Strict with a secret (JWT_SECRET, or the program's own) or published keys (JWT_JWKS_URL);
    without any on loopback only, where tokens of the development issuer are verified. Raises
    CORE012 for an open address without."""
    if listen.path:
        return Trust.socket()
    declared = program.auth
    secret = settings.jwt_secret
    if not secret and declared is not None:
        secret = Secret(_text(declared.secret, env))
    if secret or settings.jwt_jwks_url:
        issuer = settings.jwt_issuer or (_text(declared.issuer, env) if declared else "") or ISSUER
        audience = (
            settings.jwt_audience or (_text(declared.audience, env) if declared else "") or AUDIENCE
        )
        keys = issuer_keys(secret, settings.jwt_jwks_url, clock)
        return Trust.strict(Jwt(keys, issuer, audience, clock))
    require_auth_for(str(listen), None)
    known = read_dev_issuer(settings.data)
    return Trust.loopback(Jwt(SharedSecret(known), ISSUER, AUDIENCE, clock) if known else None)


def _text(expr: Expr, env: Mapping[str, str | None]) -> str:
    if isinstance(expr, Env):
        return env.get(expr.name) or ""
    return expr.value if isinstance(expr, Constant) and isinstance(expr.value, str) else ""
