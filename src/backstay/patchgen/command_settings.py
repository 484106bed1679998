"""What every `patchgen` command reads from its environment (P67–P70).

It imports no logging, because a command must start in a tenth of a second; the server's settings
build on it.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from backstay.core.settings import Option

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
