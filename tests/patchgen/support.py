"""Intents and packages for the tests of patchgen."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from backstay.core.clock import SystemClock, Uuid7
from backstay.patchgen.model import Constraints, Intent
from backstay.patchgen.write import FolderWriter

BIN = Path(sys.executable).parent
SEED = {"intent_type": "scaling", "target": "test", "namespace": "default", "replicas": 3}
PATIENCE = 60.0

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?", fullmatch=True)
LONG_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(
    st.characters(
        codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\ufffe\uffff"
    )
    | st.sampled_from("\n\t\"'\\:#{}[]&*!|>%@`-?~\u2028\u2029\u0000"[:-1]),
    max_size=80,
)


def text_of(**changes: Any) -> bytes:
    """The seed's intent as JSON, with changes; a field set to `...` is left out."""
    fields = {**SEED, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


@st.composite
def intents(draw: Any, names: Any = LONG_NAMES) -> Intent:
    """Any intent there can be."""
    namespace = draw(NAMES)
    replicas = draw(st.integers(0, 100))
    bounds = draw(
        st.just(Constraints())
        | st.builds(
            Constraints,
            min_replicas=st.none() | st.integers(0, replicas),
            max_replicas=st.none() | st.integers(max(1, replicas), 500),
            allowed_namespaces=st.just(()) | st.just((namespace, "other")),
        )
    )
    return Intent(
        intent_type="scaling",
        target=draw(names),
        namespace=namespace,
        replicas=replicas,
        target_kind=draw(st.sampled_from(("Deployment", "StatefulSet"))),
        reason=draw(TEXTS),
        source=draw(st.sampled_from(("", "user")) | TEXTS),
        correlation_id=draw(st.from_regex(r"[a-zA-Z0-9_-]{0,40}", fullmatch=True)),
        constraints=bounds,
    )


def intent(**changes: Any) -> Intent:
    return Intent(**{**SEED, **changes})


def writer(folder: Path, **options: Any) -> FolderWriter:
    return FolderWriter(folder, Uuid7(SystemClock()), **{"durability": "process", **options})


def patchgen(*words: str, text: str = "", **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [BIN / "patchgen", *words], input=text, capture_output=True, text=True, check=False,
        timeout=PATIENCE, **options,
    )  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
