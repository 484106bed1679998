"""How a process logs. Apart from `core.logs`, which needs structlog: what clients import must be
light.
"""

from typing import Annotated, Literal

import msgspec

from backstay.core.settings import Option

Level = Literal["debug", "info", "warn", "error"]


class LogSettings(msgspec.Struct, frozen=True):
    """The four variables of seed C18."""

    log_level: Annotated[
        Level, Option("least level that is logged", ("LOG_LEVEL",), "logLevel")
    ] = "info"
    log_format: Annotated[
        Literal["json", "text"], Option("json or text", ("LOG_FORMAT",), "logFormat")
    ] = "json"
    log_output: Annotated[
        str, Option("stdout, stderr or a file to append to", ("LOG_OUTPUT",), "logOutput")
    ] = "stdout"
    log_add_source: Annotated[
        bool, Option("add file:line of the call", ("LOG_ADD_SOURCE",), "logAddSource")
    ] = False
