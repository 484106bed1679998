"""What every process of Backstay can be told, whichever system it runs."""

from pathlib import Path
from typing import Annotated, Literal

from backstay.core.settings import Option
from backstay.core.tracing import TracingSettings


class ProcessSettings(TracingSettings, frozen=True):
    """The base of each system's own settings: its data folder, logs, traces, metrics and
    profiles."""

    data: Annotated[Path, Option("the data folder", ("BACKSTAY_DATA",), "data", "--data")] = Path(
        ".backstay"
    )
    profiling: Annotated[
        Literal["off", "admin", "open"],
        Option("who may fetch /debug/pprof: nobody, admins, anybody", ("PROFILING",), "profiling"),
    ] = "admin"
    metrics_open: Annotated[
        bool,
        Option(
            "serve /metrics without a token on an address that others reach, too",
            ("METRICS_OPEN",),
            "metricsOpen",
        ),
    ] = False
    debug: Annotated[
        bool, Option("serve /debug/pprof on 127.0.0.1:6060, too", (), "debug", "--debug")
    ] = False
