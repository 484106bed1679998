"""Webhooks that other services send to the app: verified, and each of them one event."""
