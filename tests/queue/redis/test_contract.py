"""The contract suite of all engines, on the redis engine."""

from tests.contract.queue.test_beside import *  # noqa: F403
from tests.contract.queue.test_bounds import *  # noqa: F403
from tests.contract.queue.test_history import *  # noqa: F403
from tests.contract.queue.test_leases import *  # noqa: F403
from tests.contract.queue.test_order import *  # noqa: F403
from tests.contract.queue.test_search import *  # noqa: F403
