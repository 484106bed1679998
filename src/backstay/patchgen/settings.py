"""What `patchgen serve` can be told; what commands read is in `command_settings`."""

from collections.abc import Iterable
from typing import Annotated

import msgspec

from backstay.core.settings import Option
from backstay.core.token_settings import TokenSettings
from backstay.patchgen.command_settings import Debug, Durable, OutputDir, Strict


class PatchgenSettings(TokenSettings, frozen=True):
    """The settings of `patchgen serve`."""

    listen: Annotated[
        str, Option("address: HOST:PORT, :PORT or unix:/path", ("PATCHGEN_LISTEN",), "", "--listen")
    ] = "127.0.0.1:8086"
    debug_log: Debug = False
    output_dir: OutputDir = ""
    request_timeout: Annotated[
        float,
        Option(
            "longest generation of a request",
            ("PATCHGEN_REQUEST_TIMEOUT",),
            "requestTimeout",
            duration=True,
        ),
    ] = 30.0
    strict_mode: Strict = False
    durability: Durable = "power"
    memory_warning: Annotated[
        int,
        Option("resident bytes that are too many", ("PATCHGEN_MEMORY_WARNING",), "memoryWarning"),
        msgspec.Meta(ge=1),
    ] = 500 * 1024 * 1024
    jwt_jwks_url: Annotated[
        str, Option("where the issuer's keys are", ("JWT_JWKS_URL",), "jwtJwksUrl")
    ] = ""

    def problems(self) -> Iterable[str]:
        """Values that cannot be meant."""
        if self.request_timeout <= 0:
            yield "PATCHGEN_REQUEST_TIMEOUT: it must be longer than 0s"
