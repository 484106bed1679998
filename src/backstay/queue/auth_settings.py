"""What the queue can be told about who its callers are: two sides, each with a provider of its own,
named as codeQ names them (Q9, Q12, Q33 to Q37). Pure: texts in, providers or problems out.
"""

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from backstay.core.settings import Option, Secret
from backstay.core.token_settings import TokenSettings
from backstay.queue.api.access import WORKER_SCOPES

_DEV = frozenset({"", "dev", "development", "local", "test"})
_PROVIDERS = ("jwks", "static", "multi", "first-of")


class StaticToken(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One fixed token and what its bearer may do. `raw` are further claims."""

    token: str
    subject: str = ""
    email: str = ""
    scopes: list[str] = []
    event_types: list[str] | None = None
    tenant_id: str = ""
    raw: dict[str, Any] = {}

    def claims(self, subject: str) -> dict[str, Any]:
        """As if a JWT had said it."""
        stated: dict[str, Any] = {
            "sub": self.subject or subject,
            "scope": " ".join(self.scopes),
            "email": self.email,
            "tenantId": self.tenant_id,
        }
        if self.event_types is not None:
            stated["eventTypes"] = self.event_types
        return {**self.raw, **{name: value for name, value in stated.items() if value != ""}}


class Published(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Tokens that an issuer signs with keys published at `jwksUrl`."""

    jwks_url: str
    issuer: str
    audience: str


Provider = StaticToken | Published


class _Named(msgspec.Struct, frozen=True):
    """One entry of a `multi` provider."""

    type: str
    config: msgspec.Raw = msgspec.Raw(b"null")


class _Several(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: Annotated[list[_Named], msgspec.Meta(min_length=1, max_length=4)]


class AuthSettings(TokenSettings, frozen=True):
    """The keys of section "Auth" in codeQ's configuration, beside the shared secret of Backstay."""

    env: Annotated[
        str, Option("dev, or what must not start half configured", ("CODEQ_ENV", "ENV"))
    ] = "dev"
    producer_auth_provider: Annotated[
        str,
        Option("jwks, static or multi", ("PRODUCER_AUTH_PROVIDER",), "producerAuthProvider"),
    ] = ""
    producer_auth_config: Annotated[
        Secret,
        Option("its JSON, or a token", ("PRODUCER_AUTH_CONFIG",), "producerAuthConfig"),
    ] = Secret("")
    worker_auth_provider: Annotated[
        str, Option("jwks, static or multi", ("WORKER_AUTH_PROVIDER",), "workerAuthProvider")
    ] = ""
    worker_auth_config: Annotated[
        Secret, Option("its JSON, or a token", ("WORKER_AUTH_CONFIG",), "workerAuthConfig")
    ] = Secret("")
    identity_service_url: Annotated[
        str,
        Option(
            "issuer of producers, its keys at /v1/.well-known/jwks.json",
            ("IDENTITY_SERVICE_URL",),
            "identityServiceUrl",
        ),
    ] = ""
    identity_jwks_url: Annotated[
        str, Option("keys of producers' issuer", ("IDENTITY_JWKS_URL",), "identityJwksUrl")
    ] = ""
    identity_issuer: Annotated[
        str, Option("issuer of producers", ("IDENTITY_ISSUER",), "identityIssuer")
    ] = ""
    identity_audience: Annotated[
        str, Option("audience of producers", ("IDENTITY_AUDIENCE",), "identityAudience")
    ] = "codeq-producer"
    worker_jwks_url: Annotated[
        str, Option("keys of workers' issuer", ("WORKER_JWKS_URL",), "workerJwksUrl")
    ] = ""
    worker_issuer: Annotated[
        str, Option("issuer of workers", ("WORKER_ISSUER",), "workerIssuer")
    ] = ""
    worker_audience: Annotated[
        str, Option("audience of workers", ("WORKER_AUDIENCE",), "workerAudience")
    ] = "codeq-worker"
    allowed_clock_skew_seconds: Annotated[
        float,
        Option(
            "seconds that clocks may differ",
            ("ALLOWED_CLOCK_SKEW_SECONDS",),
            "allowedClockSkewSeconds",
        ),
        msgspec.Meta(ge=0, le=3600),
    ] = 60.0
    allow_producer_as_worker: Annotated[
        bool,
        Option(
            "producers may do all that workers may",
            ("ALLOW_PRODUCER_AS_WORKER",),
            "allowProducerAsWorker",
        ),
    ] = False

    @property
    def dev(self) -> bool:
        """Whether nothing is required. A shell's own ENV is the path of a file, and no word."""
        return self.env.strip().lower() in _DEV or "/" in self.env

    @property
    def producer_keys(self) -> str:
        """Where the keys of producers are published; "" for nowhere."""
        service = self.identity_service_url.rstrip("/")
        return self.identity_jwks_url or (service and f"{service}/v1/.well-known/jwks.json")

    @property
    def producer_issuer(self) -> str:
        return self.identity_issuer or self.identity_service_url

    @property
    def judged(self) -> bool:
        """Whether tokens of any kind are configured here."""
        return bool(self.jwt_secret) or any(map(self._told, ("producer", "worker")))

    def producers(self) -> list[Provider]:
        """Who may create. Raises ValueError with what is wrong in the configuration."""
        return self._side("producer", self.producer_keys)

    def workers(self) -> list[Provider]:
        """Who may work. Raises ValueError with what is wrong in the configuration."""
        return self._side("worker", self.worker_jwks_url)

    def auth_problems(self) -> Iterator[str]:
        """What is wrong in the configuration of the two sides."""
        for side in (self.producers, self.workers):
            try:
                side()
            except ValueError as bad:
                yield str(bad)

    def missing(self) -> Iterator[str]:
        """What has to be said about tokens, each with the names that mend it (Q12)."""
        if not self.producer_auth_provider:
            if not self.producer_keys:
                yield self.required("IDENTITY_JWKS_URL", "identityJwksUrl")
            if not self.producer_issuer:
                yield self.required("IDENTITY_ISSUER", "identityIssuer")
        if not self.worker_auth_provider:
            if not self.worker_jwks_url:
                yield self.required("WORKER_JWKS_URL", "workerJwksUrl")
            if not self.worker_issuer:
                yield self.required("WORKER_ISSUER", "workerIssuer")

    def required(self, variable: str, key: str) -> str:
        """The line of a setting that this environment wants."""
        return (
            f"environment variable {variable} or key {key}:"
            f" required in env {self.env}, and not given"
        )

    def _told(self, side: str) -> bool:
        url = self.producer_keys if side == "producer" else self.worker_jwks_url
        return bool(getattr(self, f"{side}_auth_provider") or url)

    def _side(self, side: str, jwks_url: str) -> list[Provider]:
        kind = getattr(self, f"{side}_auth_provider").strip().lower()
        config = getattr(self, f"{side}_auth_config").reveal()
        if not kind and not jwks_url:
            if config:
                raise ValueError(f"key {side}AuthConfig: given without {side}AuthProvider")
            return []
        return self._providers(side, kind or "jwks", config.encode())

    def _providers(self, side: str, kind: str, config: bytes) -> list[Provider]:
        try:
            if kind == "jwks":
                return [self._published(side, config)]
            if kind == "static":
                return [_static(side, config)]
            if kind in ("multi", "first-of"):
                several = msgspec.json.decode(config, type=_Several).providers
                return [
                    provider
                    for one in several
                    for provider in self._providers(side, one.type, bytes(one.config))
                ]
        except msgspec.MsgspecError as bad:
            raise ValueError(f"key {side}AuthConfig: (not shown) {bad}") from bad
        choices = ", ".join(_PROVIDERS)
        raise ValueError(f"key {side}AuthProvider: {kind[:40]!r}: expected one of {choices}")

    def _published(self, side: str, config: bytes) -> Published:
        if config.strip() and config != b"null":
            found = msgspec.json.decode(config, type=Published)
        elif side == "producer":
            found = Published(self.producer_keys, self.producer_issuer, self.identity_audience)
        else:
            found = Published(self.worker_jwks_url, self.worker_issuer, self.worker_audience)
        prefix = "identity" if side == "producer" else "worker"
        parts = urlsplit(found.jwks_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"key {prefix}JwksUrl: expected an http or https address")
        if not found.audience or (not found.issuer and self.dev):
            raise ValueError(f"key {prefix}Issuer, {prefix}Audience: both are needed with keys")
        return found


def _static(side: str, config: bytes) -> StaticToken:
    """A bare text is a token that may do everything on its side; an object says what it may."""
    text = config.strip()
    if text.startswith(b"{"):
        found = msgspec.json.decode(text, type=StaticToken)
        if side == "worker" and (not found.scopes or not found.event_types):
            raise ValueError("key workerAuthConfig: scopes and eventTypes are needed")
    else:
        bare = msgspec.json.decode(text, type=str) if text.startswith(b'"') else text.decode()
        found = StaticToken(bare, scopes=[*WORKER_SCOPES], event_types=["*"])
    if not found.token:
        raise ValueError(f"key {side}AuthConfig: the token is empty")
    return found
