"""The language in an editor: programs that change with each key, and what is asked of them."""
