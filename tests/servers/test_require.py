"""BACKSTAY_REQUIRE_ALL=1 asks for all that can be installed, and for nothing else."""

import pytest
from tests.servers.require import absent


def test_what_could_be_installed_and_is_absent_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BACKSTAY_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="strace is absent: from Debian"):
        absent("strace", "from Debian")


def test_kpt_which_nobody_packages_is_skipped_with_its_reason_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BACKSTAY_REQUIRE_ALL", "1")
    with pytest.raises(pytest.skip.Exception, match=r"kpt is absent: from kpt\.dev"):
        absent("kpt", "from kpt.dev")
