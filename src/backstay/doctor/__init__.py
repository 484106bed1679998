"""The engine that runs troubleshooting guides. It knows systems only by what they declare."""
