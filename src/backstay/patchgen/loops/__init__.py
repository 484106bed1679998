"""Background work of patchgen."""
