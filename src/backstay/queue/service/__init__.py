"""What can be done with the queue: one file per subject. No HTTP here, no command line."""

from backstay.queue.service.tasks import Hold, Queue, Verdict, Want, fingerprint

__all__ = ["Hold", "Queue", "Verdict", "Want", "fingerprint"]
