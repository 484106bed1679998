"""What every test folder shares. Fixtures of one room live in that room's conftest."""

pytest_plugins = ("pytester", "tests.conformance.plugin", "tests.servers.fixtures", "tests.torture")
