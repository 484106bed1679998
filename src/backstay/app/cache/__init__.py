"""Answers that are kept for a while, in memory or in a Redis, and let go when a row behind them is
written."""
