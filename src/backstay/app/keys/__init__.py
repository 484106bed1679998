"""API keys: credentials of programs and scripts that have no issuer of tokens."""
