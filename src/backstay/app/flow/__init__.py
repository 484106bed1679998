"""Durable workflows and jobs. The app's own database is the only truth: executions, steps, timers
and messages are rows there, and everything in memory can be made again from them.
"""
