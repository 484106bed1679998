"""What a process is doing, in the formats that `go tool pprof` reads (seeds C22, C23, Q15).

`api` serves it; `cpu`, `heap` and `stacks` look; `pprof` writes. Nothing here runs, and nothing is
remembered, before somebody asks.
"""
