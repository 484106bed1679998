"""A service beside each test, and the calls that reach it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.app.outside.calling import Calls, Made, checked
from tests.app.outside.service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@pytest.fixture
async def calls(service: Service) -> AsyncIterator[Made]:
    made: list[Calls] = []

    def of(members: str) -> Calls:
        made.append(Calls(checked(members), service))
        return made[-1]

    yield of
    for each in made:
        await each.integrations.close()
