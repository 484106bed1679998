"""What the queue can be told. Keys and environment names are those of codeQ where it has them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from backstay.core.backoff import Backoff, Policy
from backstay.core.errors import Fault
from backstay.core.settings import Option, Secret
from backstay.queue.api.rates import Rate
from backstay.queue.errors import BAD_STORE_ADDRESS
from backstay.queue.known_settings import KnownSettings
from backstay.queue.model import Rules
from backstay.queue.store.redis_address import RedisAddress, RedisStore


class QueueSettings(KnownSettings, frozen=True):
    """Seconds are numbers, as in codeQ's own files."""

    listen: Annotated[
        str, Option("address: HOST:PORT, :PORT or unix:/path", ("CODEQ_LISTEN",), "", "--listen")
    ] = ""
    port: Annotated[
        int,
        Option("port on loopback, unless `listen` is given", ("PORT",)),
        msgspec.Meta(ge=0, le=65535),
    ] = 8080
    durability: Annotated[
        Literal["power", "process"],
        Option("what an answer survives", ("CODEQ_DURABILITY",), "durability", "--durability"),
    ] = "power"
    default_lease_seconds: Annotated[
        float,
        Option(
            "lease of a claim that names none", ("DEFAULT_LEASE_SECONDS",), "defaultLeaseSeconds"
        ),
        msgspec.Meta(gt=0),
    ] = 300.0
    max_attempts_default: Annotated[
        int,
        Option(
            "deliveries before the dead letters", ("MAX_ATTEMPTS_DEFAULT",), "maxAttemptsDefault"
        ),
        msgspec.Meta(ge=1),
    ] = 5
    backoff_policy: Annotated[
        Policy, Option("how retries are spread", ("BACKOFF_POLICY",), "backoffPolicy")
    ] = "exp_full_jitter"
    backoff_base_seconds: Annotated[
        float,
        Option("first delay", ("BACKOFF_BASE_SECONDS",), "backoffBaseSeconds"),
        msgspec.Meta(gt=0),
    ] = 5.0
    backoff_max_seconds: Annotated[
        float,
        Option("longest delay", ("BACKOFF_MAX_SECONDS",), "backoffMaxSeconds"),
        msgspec.Meta(gt=0),
    ] = 900.0
    max_payload_bytes: Annotated[
        int,
        Option("largest body of one task", ("MAX_PAYLOAD_BYTES",), "maxPayloadBytes"),
        msgspec.Meta(ge=1),
    ] = 1_048_576
    max_connections: Annotated[
        int,
        Option(
            "connections at once; a waiting worker holds one",
            ("MAX_CONNECTIONS",),
            "maxConnections",
        ),
        msgspec.Meta(ge=1),
    ] = 16_384
    require_lease_token: Annotated[
        bool,
        Option("refuse workers that send none", ("REQUIRE_LEASE_TOKEN",), "requireLeaseToken"),
    ] = False
    retention_seconds: Annotated[
        float,
        Option("how long ended tasks are kept", ("RETENTION_SECONDS",), "retentionSeconds"),
        msgspec.Meta(gt=0),
    ] = 86_400.0
    producer_requests_per_minute: Annotated[
        float,
        Option(
            "requests a minute of one producer; 0: any", (), "rateLimit.producer.requestsPerMinute"
        ),
        msgspec.Meta(ge=0),
    ] = 0
    producer_burst: Annotated[
        float,
        Option("requests at once of one producer; 0: any", (), "rateLimit.producer.burstSize"),
        msgspec.Meta(ge=0),
    ] = 0
    worker_requests_per_minute: Annotated[
        float,
        Option("a minute of one worker; 0: any", (), "rateLimit.worker.requestsPerMinute"),
        msgspec.Meta(ge=0),
    ] = 0
    worker_burst: Annotated[
        float,
        Option("requests at once of one worker; 0: any", (), "rateLimit.worker.burstSize"),
        msgspec.Meta(ge=0),
    ] = 0
    admin_requests_per_minute: Annotated[
        float,
        Option("a minute of one admin; 0: any", (), "rateLimit.admin.requestsPerMinute"),
        msgspec.Meta(ge=0),
    ] = 0
    admin_burst: Annotated[
        float,
        Option("requests at once of one admin; 0: any", (), "rateLimit.admin.burstSize"),
        msgspec.Meta(ge=0),
    ] = 0
    webhook_hmac_secret: Annotated[
        Secret,
        Option("signs what is sent to webhooks", ("WEBHOOK_HMAC_SECRET",), "webhookHmacSecret"),
    ] = Secret("")
    webhook_egress_allow: Annotated[
        tuple[str, ...],
        Option(
            "near addresses that may be called: loopback, private, an address or a network",
            ("WEBHOOK_EGRESS_ALLOW",),
            "webhookEgressAllow",
        ),
    ] = ()
    webhook_timeout_seconds: Annotated[
        float,
        Option(
            "time a receiver has to answer", ("WEBHOOK_TIMEOUT_SECONDS",), "webhookTimeoutSeconds"
        ),
        msgspec.Meta(gt=0, le=300),
    ] = 15.0
    result_webhook_max_attempts: Annotated[
        int,
        Option(
            "tries of one result callback",
            ("RESULT_WEBHOOK_MAX_ATTEMPTS",),
            "resultWebhookMaxAttempts",
        ),
        msgspec.Meta(ge=1),
    ] = 5
    result_webhook_base_backoff_seconds: Annotated[
        float,
        Option(
            "delay after its first try, doubled each time",
            ("RESULT_WEBHOOK_BASE_BACKOFF_SECONDS",),
            "resultWebhookBaseBackoffSeconds",
        ),
        msgspec.Meta(gt=0),
    ] = 2.0
    result_webhook_max_backoff_seconds: Annotated[
        float,
        Option(
            "its longest delay",
            ("RESULT_WEBHOOK_MAX_BACKOFF_SECONDS",),
            "resultWebhookMaxBackoffSeconds",
        ),
        msgspec.Meta(gt=0),
    ] = 60.0
    subscription_min_interval_seconds: Annotated[
        float,
        Option(
            "between two notices, for subscribers that name none",
            ("SUBSCRIPTION_MIN_INTERVAL_SECONDS",),
            "subscriptionMinIntervalSeconds",
        ),
        msgspec.Meta(gt=0),
    ] = 5.0
    subscription_cleanup_interval_seconds: Annotated[
        float,
        Option(
            "how often ended subscriptions are deleted",
            ("SUBSCRIPTION_CLEANUP_INTERVAL_SECONDS",),
            "subscriptionCleanupIntervalSeconds",
        ),
        msgspec.Meta(gt=0),
    ] = 60.0
    redis_addr: Annotated[
        str,
        Option(
            "HOST:PORT of a Redis, Valkey or KVRocks that holds the tasks; unset: SQLite",
            ("REDIS_ADDR",),
            "redisAddr",
        ),
    ] = ""
    redis_password: Annotated[
        Secret,
        Option("its password", ("REDIS_PASSWORD", "KVROCKS_PASSWORD"), "redisPassword"),
    ] = Secret("")
    redis_pool_size: Annotated[
        int,
        Option("connections to it at most", ("REDIS_POOL_SIZE",), "redisPoolSize"),
        msgspec.Meta(ge=2, le=1000),
    ] = 10

    def problems(self) -> Iterable[str]:
        """Fields that contradict each other."""
        if self.backoff_base_seconds > self.backoff_max_seconds:
            yield (
                f"backoffBaseSeconds {self.backoff_base_seconds:g} is above"
                f" backoffMaxSeconds {self.backoff_max_seconds:g}"
            )
        if self.result_webhook_base_backoff_seconds > self.result_webhook_max_backoff_seconds:
            yield (
                f"resultWebhookBaseBackoffSeconds {self.result_webhook_base_backoff_seconds:g} is"
                f" above resultWebhookMaxBackoffSeconds {self.result_webhook_max_backoff_seconds:g}"
            )
        yield from self.auth_problems()
        if self.persistence_provider and (self.persistence_provider == "redis") != bool(
            self.redis_addr
        ):
            yield f"persistenceProvider {self.persistence_provider}: redisAddr says otherwise"
        # On a Unix socket it is a part of something that was configured as a whole.
        if not self.dev and not self.address.startswith("unix:"):
            if not self.jwt_secret:
                yield from self.missing()
            if not self.webhook_hmac_secret:
                yield self.required("WEBHOOK_HMAC_SECRET", "webhookHmacSecret")

    @property
    def address(self) -> str:
        """Where to listen; `listen` wins over `port`."""
        return self.listen or f"127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        return self.data / "queue.db"

    def rates(self) -> Mapping[str, Rate]:
        """The limits by side."""
        return {
            "producer": Rate(self.producer_requests_per_minute, self.producer_burst),
            "worker": Rate(self.worker_requests_per_minute, self.worker_burst),
            "admin": Rate(self.admin_requests_per_minute, self.admin_burst),
        }

    def redis(self) -> RedisStore | None:
        """How to reach the store of the redis engine, None without one. Raises QUEUE036."""
        if not self.redis_addr:
            return None
        try:
            address = RedisAddress.parse(self.redis_addr)
        except ValueError as bad:
            raise Fault(BAD_STORE_ADDRESS, reason=str(bad)) from bad
        return RedisStore(address, self.redis_password, self.redis_pool_size)

    def rules(self) -> Rules:
        """What the engine needs to know."""
        return Rules(
            backoff=Backoff(
                self.backoff_policy, self.backoff_base_seconds, self.backoff_max_seconds
            ),
            retention=self.retention_seconds,
        )
