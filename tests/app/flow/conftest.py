"""A payment service and an engine beside it, for each test its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.app.flow.payments import Payments
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
