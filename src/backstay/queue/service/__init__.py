"""What can be done with the queue: one file per subject. No HTTP here, no command line."""

from backstay.queue.service.bulk import Bulk
from backstay.queue.service.claims import Given, Want
from backstay.queue.service.tasks import Beat, Hold, Queue, Verdict, fingerprint

__all__ = ["Beat", "Bulk", "Given", "Hold", "Queue", "Verdict", "Want", "fingerprint"]
