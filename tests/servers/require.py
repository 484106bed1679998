"""What a test says when a foreign program is not here."""

import os
from typing import NoReturn

import pytest

NOT_PACKAGED = frozenset({"kpt"})
"""Programs that `.ci/run` cannot install: neither Debian nor a wheel has them. Their tests run where
somebody put them."""


def absent(name: str, how: str) -> NoReturn:
    """Skip, naming the missing program and how to get it; BACKSTAY_REQUIRE_ALL=1 makes it a failure,
    unless nothing could have installed it."""
    reason = f"{name} is absent: {how}"
    required = os.environ.get("BACKSTAY_REQUIRE_ALL", "") not in ("", "0")
    if required and name not in NOT_PACKAGED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
