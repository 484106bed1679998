"""The development secret: made once, for the owner's eyes only."""

import stat
from pathlib import Path

from backstay.core.dev_issuer import FILE, make_dev_issuer, read_dev_issuer


def test_made_once_private_and_the_same_ever_after(tmp_path: Path) -> None:
    assert read_dev_issuer(tmp_path) is None
    made = make_dev_issuer(tmp_path)
    assert len(made.reveal()) >= 43
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert make_dev_issuer(tmp_path) == made == read_dev_issuer(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
