"""Who changed what: one row for each request that changed something, committed with the change."""
