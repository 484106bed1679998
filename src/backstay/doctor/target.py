"""What the doctor looks at: found from flags, the environment, or the folder it is called in."""

import re
from collections.abc import Mapping
from pathlib import Path

from backstay.core.guide import Target
from backstay.core.probing import read_state
from backstay.core.runtime import find_runtime

FOLDER = ".backstay"
BASE_URL = "http://127.0.0.1:8080"
_PORT = re.compile(r"\bport (\d{1,5})\b|(?:127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})\b")


def find_target(
    data: str, base_url: str, text: str, token: str, env: Mapping[str, str], cwd: Path
) -> Target:
    """Empty strings mean "not given". The data folder is searched upward from `cwd`, as the
    command may be typed anywhere inside a project; the address is that of the running (or last)
    supervisor, unless given or named in `text`."""
    folder = (
        Path(data or env.get("BACKSTAY_DATA", "")) if data or env.get("BACKSTAY_DATA") else None
    )
    folder = (folder or _nearest(cwd)).absolute()
    runtime = Path(env["BACKSTAY_RUNTIME"]) if env.get("BACKSTAY_RUNTIME") else find_runtime(folder)
    target = Target(data=folder, runtime=runtime, base_url=base_url, text=text, token=token)
    state = read_state(target)
    named = _named(text)
    address = base_url or named or str(state.get("base_url") or "") or env.get("BACKSTAY_URL", "")
    app_file = str(state.get("app_file") or "")
    return Target(
        data=folder,
        runtime=runtime,
        base_url=(address or BASE_URL).rstrip("/"),
        text=text,
        token=token,
        app_file=Path(app_file) if app_file else None,
    )


def _nearest(cwd: Path) -> Path:
    for place in (cwd, *cwd.parents):
        if (place / FOLDER).is_dir():
            return place / FOLDER
    return cwd / FOLDER


def _named(text: str) -> str:
    """`port 8093 on 127.0.0.1 is taken`: then it is that port which is asked about."""
    found = _PORT.search(text)
    if found is None or int(found[1] or found[2]) > 65535:
        return ""
    return f"http://127.0.0.1:{found[1] or found[2]}"
