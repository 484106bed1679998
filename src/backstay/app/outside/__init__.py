"""Calls of other people's services: what is sent, as whom, how often, and what an answer means."""
