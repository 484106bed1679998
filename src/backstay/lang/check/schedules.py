"""What starts a workflow, and the schedules of workflows and jobs."""

from datetime import UTC, datetime

from backstay.core.duration import format_duration
from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members
from backstay.lang.check.world import Checker, find_event
from backstay.lang.names import suggestion


def trigger(k: Checker, members: Members) -> p.Trigger | None:
    """What starts a workflow besides `start`."""
    node = members.value("trigger", s.TriggerNode)
    if node is None:
        return None
    match node.trigger, node.value:
        case "event", s.Ident() as name:
            # Old workflows are started by events of the world outside, in quotes.
            found = find_event(k.world, name.name)
            if found is not None:
                k.use("event", found.name)
            elif not (k.world.incomplete or "." in name.name):
                k.event(name)
            return p.Trigger("event", event=name.name)
        case "schedule", s.EveryNode(period=period):
            return p.Trigger("schedule", every=check_period(k, period))
        case "schedule", s.Literal_() as text:
            check_cron(k, text)
            return p.Trigger("schedule", schedule=str(text.value))
        case "manual", _:
            return p.Trigger("manual")
    what, fix = "a workflow is started by an event, a schedule or by hand", "write trigger: EVENT"
    k.error(e.CONFLICT, node.span, what=what, fix=fix)
    return None


def check_period(k: Checker, node: s.Literal_) -> float:
    """The seconds of `every 1h`; what would be due at all times is refused."""
    seconds = float(node.value or 0)
    if seconds <= 0:
        what = f"every {format_duration(seconds)} is no period: it would be due all the time"
        k.error(e.BAD_SETTING, node.span, what=what, fix="write a period above zero: every 1h")
    return seconds


def check_cron(k: Checker, node: s.Literal_) -> None:
    from cronsim import CronSim, CronSimError

    text = str(node.value)
    reason = ""
    if len(text.split()) != 5:
        reason = f"it has {len(text.split())} fields"
    else:
        try:
            CronSim(text, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as bad:
            reason = str(bad).lower()
    if reason:
        k.error(e.BAD_CRON, node.span, text=text, reason=reason)


def check_zone(k: Checker, node: s.Literal_) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    name = str(node.value)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        edit = suggestion(name, available_timezones(), k.reports.at(node.span))
        if edit:
            edit = type(edit)(edit.title, edit.span, f'"{edit.text}"')
        k.error(e.BAD_ZONE, node.span, edit=edit, name=name)
