"""How long to wait before trying again. Pure: the dice come in."""

from typing import Literal

import msgspec

from backstay.core.clock import Dice

Policy = Literal["fixed", "linear", "exponential", "exp_equal_jitter", "exp_full_jitter"]


class Backoff(msgspec.Struct, frozen=True):
    """A retry delay policy. `base` and `cap` are seconds.

    Full jitter is the default: of the known policies it spreads a thundering herd best.
    """

    policy: Policy = "exp_full_jitter"
    base: float = 5.0
    cap: float = 900.0

    def delay(self, attempt: int, dice: Dice) -> float:
        """Seconds to wait after attempt number `attempt` (1 is the first) has failed."""
        tries = max(1, attempt)
        if self.policy == "fixed":
            return min(self.base, self.cap)
        if self.policy == "linear":
            return min(self.base * tries, self.cap)
        # The exponent is bounded: 2.0**1024 overflows, and the cap was reached long before.
        ceiling = min(self.base * 2.0 ** min(tries - 1, 64), self.cap)
        if self.policy == "exponential":
            return ceiling
        if self.policy == "exp_equal_jitter":
            return ceiling / 2 + dice.uniform(0, ceiling / 2)
        return dice.uniform(0, ceiling)
