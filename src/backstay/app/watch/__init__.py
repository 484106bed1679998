"""What the process keeps of itself, so that the doctor can tell growth from size and now from ever:
a sample every few seconds, and one census of its objects."""
