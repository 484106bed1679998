"""Where every console script starts. Each imports what its command needs and no more."""
