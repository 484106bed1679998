"""What a task function raises to say more than "it failed"."""


class Reject(Exception):  # noqa: N818 - said by the worker's author, who raises it
    """The task is FAILED for good: no retry, no dead letter. Any other exception is retried."""


class Retry(Exception):  # noqa: N818 - as above
    """Why and when the task is to be tried again (seconds; 0: by the policy)."""

    def __init__(self, reason: str, delay: float = 0.0) -> None:
        super().__init__(reason)
        self.delay = delay


class Release(Exception):  # noqa: N818 - as above
    """Hand the task back unworked: the delivery does not count."""
