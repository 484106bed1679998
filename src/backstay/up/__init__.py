"""The supervisor and the composition: it hands each system what it needs."""
