"""The durable task queue. `import backstay.queue.worker` pulls no server."""
