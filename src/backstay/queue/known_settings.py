"""Keys of codeQ's configuration that mean nothing here: accepted, so that its files can be used as
they are, and named in the log when somebody sets them.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from backstay.core.settings import Option, Secret
from backstay.queue.auth_settings import AuthSettings

_NOTHING = "known from codeQ, without effect: "


class KnownSettings(AuthSettings, frozen=True):
    """What codeQ needs to be told and this queue does not."""

    timezone: Annotated[
        str, Option(f"{_NOTHING}times are UTC, periodic tasks name their own zone", ("TIMEZONE",))
    ] = ""
    requeue_inspect_limit: Annotated[
        int,
        Option(
            f"{_NOTHING}all ended leases are found",
            ("REQUEUE_INSPECT_LIMIT",),
            "requeueInspectLimit",
        ),
    ] = 0
    local_artifacts_dir: Annotated[
        str,
        Option(
            f"{_NOTHING}artifacts are not served", ("LOCAL_ARTIFACTS_DIR",), "localArtifactsDir"
        ),
    ] = ""
    identity_service_api_key: Annotated[
        Secret,
        Option(
            f"{_NOTHING}tokens are judged here",
            ("IDENTITY_SERVICE_API_KEY",),
            "identityServiceApiKey",
        ),
    ] = Secret("")
    persistence_provider: Annotated[
        Literal["", "redis", "sqlite"],
        Option(
            f"{_NOTHING}with redisAddr it is redis, else sqlite",
            ("PERSISTENCE_PROVIDER",),
            "persistenceProvider",
        ),
    ] = ""

    def without_effect(self) -> Iterator[str]:
        """Keys that were set for nothing."""
        told = {
            "timezone": self.timezone,
            "requeueInspectLimit": self.requeue_inspect_limit,
            "localArtifactsDir": self.local_artifacts_dir,
            "identityServiceApiKey": self.identity_service_api_key,
        }
        yield from (key for key, value in told.items() if value)
