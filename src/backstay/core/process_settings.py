"""What every process of Backstay can be told, whichever system it runs."""

from pathlib import Path
from typing import Annotated

from backstay.core.logs import LogSettings
from backstay.core.settings import Option


class ProcessSettings(LogSettings, frozen=True):
    """The base of each system's own settings: its data folder and its logs."""

    data: Annotated[Path, Option("the data folder", ("BACKSTAY_DATA",), "data", "--data")] = Path(
        ".backstay"
    )
