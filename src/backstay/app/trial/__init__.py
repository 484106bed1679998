"""A program on trial: the whole application on a clock that stands still, for `codeai test`."""
