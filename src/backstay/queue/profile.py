"""What `codeq` remembers between two calls: addresses and tokens, in `~/.codeq/config.yaml`.

The folder has mode 0700 and the file 0600; CODEQ_CONFIG_DIR names another folder.
"""

import os
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.queue.errors import BAD_PROFILE

DEFAULT = "default"


class Profile(msgspec.Struct, frozen=True):
    """One set of credentials. `token` stands in for the role that has none of its own."""

    name: str = DEFAULT
    base_url: str = ""
    producer_token: Secret = Secret("")
    worker_token: Secret = Secret("")
    admin_token: Secret = Secret("")
    token: Secret = Secret("")
    iam_base_url: str = ""
    iam_api_key: Secret = Secret("")


_FIELDS = {
    "base_url": "baseUrl",
    "producer_token": "producerToken",
    "worker_token": "workerToken",
    "admin_token": "adminToken",
    "token": "token",
    "iam_base_url": "iamBaseUrl",
    "iam_api_key": "iamApiKey",
}


class Profiles:
    """The file. Foreign keys in it are kept."""

    def __init__(self, env: Mapping[str, str]) -> None:
        folder = env.get("CODEQ_CONFIG_DIR")
        self.path = (Path(folder) if folder else Path.home() / ".codeq") / "config.yaml"

    def exposed(self) -> str:
        """What to tell a person when others than the owner may read the tokens; else empty."""
        try:
            mode = self.path.stat().st_mode & 0o777
        except OSError:
            return ""
        if not mode & 0o077:
            return ""
        return f"others may read the tokens in {self.path} (mode {mode:04o}): chmod 600 {self.path}"

    def read(self, name: str = "") -> Profile:
        """The named profile, the current one, or `default`. Raises QUEUE051."""
        whole = self._load()
        chosen = name or str(whole.get("currentProfile") or DEFAULT)
        kept = (whole.get("profiles") or {}).get(chosen) or {}
        return Profile(
            name=chosen,
            base_url=str(kept.get("baseUrl") or ""),
            producer_token=Secret(str(kept.get("producerToken") or "")),
            worker_token=Secret(str(kept.get("workerToken") or "")),
            admin_token=Secret(str(kept.get("adminToken") or "")),
            token=Secret(str(kept.get("token") or "")),
            iam_base_url=str(kept.get("iamBaseUrl") or ""),
            iam_api_key=Secret(str(kept.get("iamApiKey") or "")),
        )

    def write(self, name: str, changes: Mapping[str, str]) -> None:
        """Change fields of a profile (by `Profile`'s names) and leave the others. QUEUE051."""
        import yaml

        whole = self._load()
        whole.setdefault("currentProfile", name)
        kept = whole.setdefault("profiles", {}).setdefault(name, {})
        kept.update({_FIELDS[field]: value for field, value in changes.items()})
        half = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                yaml.safe_dump(whole, file, sort_keys=False)
            half.replace(self.path)
        except OSError as bad:
            raise Fault(BAD_PROFILE, path=str(self.path), reason=str(bad)) from bad

    def _load(self) -> dict[str, Any]:
        import yaml

        try:
            whole = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as bad:
            raise Fault(BAD_PROFILE, path=str(self.path), reason=str(bad)) from bad
        if whole is None:
            return {}
        if not isinstance(whole, dict) or not isinstance(whole.get("profiles") or {}, dict):
            raise Fault(BAD_PROFILE, path=str(self.path), reason="it is not a mapping of profiles")
        return whole


def masked(secret: Secret) -> str:
    """First and last four characters of a long secret, nothing of a short one."""
    text = secret.reveal()
    if not text:
        return "<unset>"
    return f"{text[:4]}...{text[-4:]}" if len(text) > 16 else "****"


def expiry(secret: Secret) -> float | None:
    """`exp` of a JSON Web Token in epoch seconds, unverified; None where there is none."""
    part = secret.reveal().split(".")
    if len(part) != 3:
        return None
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(part[1] + "=" * (-len(part[1]) % 4)))
    except (ValueError, msgspec.DecodeError):
        return None
    found = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1e11:
        return None
    return float(found)
