"""Task functions: what their signature says is read once, when they are registered."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from backstay.core.backoff import Backoff
from backstay.queue.worker.job import Job
from backstay.queue.worker.verdicts import Reject

_ANYTHING = (inspect.Parameter.empty, object, Any)


class Function(msgspec.Struct, frozen=True):
    """A registered function. `decode` makes its payload of JSON text; `wants_job` says that it
    takes two parameters. `timeout` 0 is none."""

    call: Callable[..., Any]
    decode: Callable[[str], Any]
    wants_job: bool
    plain: bool
    retry: Backoff | None = None
    timeout: float = 0.0

    def arguments(self, job: Job) -> tuple[Any, ...]:
        """Raises Reject for a payload that is not what the function wants: it never will be."""
        try:
            payload = self.decode(job.task.payload)
        except ValueError as bad:  # msgspec's and pydantic's errors are ValueErrors
            raise Reject(f"bad payload: {bad}") from bad
        return (payload, job) if self.wants_job else (payload,)


def read(call: Callable[..., Any], retry: Backoff | None, timeout: float) -> Function:
    """Raises TypeError for a function that could never be called."""
    # An object may be called like a function, and its method be the coroutine function.
    plain = not any(map(inspect.iscoroutinefunction, (call, type(call).__call__)))
    if plain and timeout:
        name = getattr(call, "__name__", repr(call))
        raise TypeError(f"{name}: a thread cannot be stopped; timeout is for async functions")
    parameters = [
        each
        for each in inspect.signature(call).parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    if not parameters:
        raise TypeError(f"{call!r} must take the payload, and may take a Job")
    return Function(
        call,
        _decoder(_annotation(call, parameters[0])),
        wants_job=len(parameters) > 1 and parameters[1].default is inspect.Parameter.empty,
        plain=plain,
        retry=retry,
        timeout=timeout,
    )


def _annotation(call: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    try:
        return typing.get_type_hints(call)[parameter.name]
    except NameError as unknown:
        raise TypeError(f"the type of {parameter.name!r} is not known: {unknown}") from unknown


def _decoder(wanted: Any) -> Callable[[str], Any]:
    if any(wanted is each for each in _ANYTHING):
        return msgspec.json.Decoder().decode
    own = getattr(wanted, "model_validate_json", None)  # a pydantic model reads JSON by itself
    return own if callable(own) else msgspec.json.Decoder(wanted).decode


def result_of(value: object) -> msgspec.Raw:
    """What a function returned, as the JSON object that a result has to be. Raises TypeError for
    what JSON cannot hold."""
    encoded = msgspec.json.encode(value)
    if encoded.startswith(b"{"):
        return msgspec.Raw(encoded)
    return msgspec.Raw(b"{}" if encoded == b"null" else b'{"value":' + encoded + b"}")
