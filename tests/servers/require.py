"""What a test says when a foreign program is not here."""

import os
from typing import NoReturn

import pytest


def absent(name: str, how: str) -> NoReturn:
    """Skip, naming the missing program and how to get it; BACKSTAY_REQUIRE_ALL=1 makes it a failure."""
    reason = f"{name} is absent: {how}"
    if os.environ.get("BACKSTAY_REQUIRE_ALL", "") not in ("", "0"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
