"""The program told to its clients: its OpenAPI document, and a page to read it with."""
