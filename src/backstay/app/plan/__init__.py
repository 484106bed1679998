"""The checked program made into closures and SQL, once, when it loads."""
