"""Background work of the queue."""
