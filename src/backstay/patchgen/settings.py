"""What patchgen can be told: the four variables of the seed (P67–P70), and the server's own."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from backstay.core.settings import Option


class CommandSettings(msgspec.Struct, frozen=True):
    """What every command reads from its environment. The output folder is never created by itself:
    a value that does not exist behaves as a missing directory (P68)."""

    debug: Annotated[
        bool, Option("debug lines on standard error", ("PATCHGEN_DEBUG",), "debug")
    ] = False
    output_dir: Annotated[
        str,
        Option("where packages go", ("PATCHGEN_OUTPUT_DIR",), "outputDir", "-output"),
    ] = ""
    validation_timeout: Annotated[
        float,
        Option(
            "longest validation",
            ("PATCHGEN_VALIDATION_TIMEOUT",),
            "validationTimeout",
            duration=True,
        ),
    ] = 30.0
    strict_mode: Annotated[
        bool,
        Option("warnings refuse an intent", ("PATCHGEN_STRICT_MODE",), "strictMode", "--strict"),
    ] = False
    fallback: Annotated[
        bool,
        Option(
            "use ~/.nephoran/patches when the output folder is closed",
            ("PATCHGEN_FALLBACK",),
            "fallback",
            "--fallback",
        ),
    ] = False
    durability: Annotated[
        Literal["power", "process"],
        Option(
            "what a reported package survives",
            ("PATCHGEN_DURABILITY",),
            "durability",
            "--durability",
        ),
    ] = "power"

    def problems(self) -> Iterable[str]:
        """Values that cannot be meant."""
        if self.validation_timeout <= 0:
            yield "PATCHGEN_VALIDATION_TIMEOUT: it must be longer than 0s"
