"""A payment service and an engine beside it, for each test its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.app.flow.live import Live
from tests.app.flow.payments import Payments
from tests.app.flow.receiver import Receiver
from tests.app.flow.stage import Stage
from tests.app.support import NewDatabase


@pytest.fixture
async def payments(tmp_path: Path) -> AsyncIterator[Payments]:
    service = Payments(tmp_path / "payments.db")
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def stage(
    tmp_path: Path, payments: Payments, new_database: NewDatabase
) -> AsyncIterator[Stage]:
    made = Stage(tmp_path, payments, database=new_database())
    await made.open()
    yield made
    await made.close()


Open = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def open_stage(
    tmp_path: Path, payments: Payments, new_database: NewDatabase
) -> AsyncIterator[Open]:
    """Stages with a program, a carrier or dice of the test's own."""
    made: list[Stage] = []

    async def open_(**given: object) -> Stage:
        stage = Stage(tmp_path, payments, database=new_database(), **given)  # type: ignore[arg-type]
        made.append(stage)
        await stage.open()
        return stage

    yield open_
    for stage in made:
        await stage.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


Serve = Callable[..., Awaitable[Live]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Programs, each in a server process of its own."""
    made: list[Live] = []

    async def serve_(text: str, **env: str) -> Live:
        folder = tmp_path / f"app{len(made)}"
        folder.mkdir()
        (folder / "app.cai").write_text(text)
        live = Live(folder, folder / "app.cai", env)
        made.append(live)
        await live.start()
        return live

    yield serve_
    for live in made:
        await live.close()
