"""The reverse proxy: its own protocol loop, small policy stages, a breaker people can see."""
