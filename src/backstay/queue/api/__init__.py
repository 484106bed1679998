"""The codeQ HTTP face. Everything under `/v1/codeq`, plus `/healthz` and `/metrics`."""

PREFIX = "/v1/codeq"
