"""What patchgen can be told: the four variables of the seed (P67–P70), and the server's own."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from backstay.core.process_settings import ProcessSettings
from backstay.core.settings import Option, Secret

OutputDir = Annotated[
    str, Option("folder that takes the packages", ("PATCHGEN_OUTPUT_DIR",), "outputDir", "-output")
]
Strict = Annotated[
    bool, Option("warnings refuse an intent", ("PATCHGEN_STRICT_MODE",), "strictMode", "--strict")
]
Durable = Annotated[
    Literal["power", "process"],
    Option(
        "what a reported package survives", ("PATCHGEN_DURABILITY",), "durability", "--durability"
    ),
]
Debug = Annotated[bool, Option("debug lines", ("PATCHGEN_DEBUG",), "debugLog")]


class CommandSettings(msgspec.Struct, frozen=True):
    """What every command reads from its environment. The output folder is never created by itself:
    a value that does not exist behaves as a missing directory (P68)."""

    debug_log: Debug = False
    output_dir: OutputDir = ""
    validation_timeout: Annotated[
        float,
        Option(
            "longest validation",
            ("PATCHGEN_VALIDATION_TIMEOUT",),
            "validationTimeout",
            duration=True,
        ),
    ] = 30.0
    strict_mode: Strict = False
    fallback: Annotated[
        bool,
        Option(
            "use ~/.nephoran/patches when the output folder is closed",
            ("PATCHGEN_FALLBACK",),
            "fallback",
            "--fallback",
        ),
    ] = False
    durability: Durable = "power"

    def problems(self) -> Iterable[str]:
        """Values that cannot be meant."""
        if self.validation_timeout <= 0:
            yield "PATCHGEN_VALIDATION_TIMEOUT: it must be longer than 0s"


class PatchgenSettings(ProcessSettings, frozen=True):
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
    jwt_secret: Annotated[
        Secret, Option("HS256 secret; unset: loopback only", ("JWT_SECRET",), "jwtSecret")
    ] = Secret("")
    jwt_jwks_url: Annotated[
        str, Option("where the issuer's keys are", ("JWT_JWKS_URL",), "jwtJwksUrl")
    ] = ""
    jwt_issuer: Annotated[
        str, Option("issuer that tokens must name", ("JWT_ISSUER",), "jwtIssuer")
    ] = "backstay"
    jwt_audience: Annotated[
        str, Option("audience that tokens must name", ("JWT_AUDIENCE",), "jwtAudience")
    ] = "backstay"

    def problems(self) -> Iterable[str]:
        """Values that cannot be meant."""
        if self.request_timeout <= 0:
            yield "PATCHGEN_REQUEST_TIMEOUT: it must be longer than 0s"
