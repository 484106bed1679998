"""The runtime that serves a checked `.cai` program."""
