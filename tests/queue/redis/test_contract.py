"""The contract suite of all engines, on the redis engine."""

from tests.contract.queue.test_leases import *  # noqa: F403
from tests.contract.queue.test_order import *  # noqa: F403
