"""Request id and debug: what follows a request through every log."""

from backstay.core.clock import Ids
from backstay.gateway.exchange import Exchange, Stage
from backstay.gateway.wire import clean_request_id


def request_id(ids: Ids) -> Stage:
    """A given `X-Request-ID` is kept when it is harmless; otherwise the request gets a new one."""

    def stage(exchange: Exchange) -> None:
        given = exchange.fields.get("x-request-id")
        exchange.request_id = (clean_request_id(given) if given else "") or ids.new()

    return stage


def debug(exchange: Exchange) -> None:
    """`X-Debug: true` passes only from a person at this machine or an administrator."""
    wanted = exchange.fields.get("x-debug")
    if wanted is not None and wanted.strip().lower() == "true":
        exchange.debug = exchange.principal.may("admin")
