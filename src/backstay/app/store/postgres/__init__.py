"""The app on PostgreSQL: asyncpg below, the same plain functions of a Session above."""
