"""`backstay doctor`: asks the probes of the troubleshooting guides and says what is wrong."""

import os
from pathlib import Path

import click

from backstay.cli.face import output_option
from backstay.core.errors import Exit
from backstay.core.visible import visible


@click.command("doctor")
@click.argument("text", required=False, default="", metavar="[TEXT]")
@click.option("--data", default="", metavar="DIR", help="The data folder; else .backstay, upward.")
@click.option("--url", default="", metavar="URL", help="Where the gateway should answer.")
@click.option("--token", default="", metavar="TOKEN", help="A bearer token that was refused.")
@click.option("--only", default="", metavar="GUIDE", help="Judge by one guide.")
@click.option("--bundle", default="", metavar="FILE", help="Keep the (redacted) evidence.")
@click.option("--replay", default="", metavar="FILE", help="Judge a bundle instead of looking.")
@output_option
def command(
    text: str,
    data: str,
    url: str,
    token: str,
    only: str,
    bundle: str,
    replay: str,
    output: str,
) -> int:
    """Find out what is wrong, why, and what to type. TEXT is an error message you met.

    It only looks, and it also works when nothing runs. Exit code: 0 healthy, 1 something is
    wrong, 2 could not tell.
    """
    from backstay.doctor.session import Question, diagnose
    from backstay.doctor.target import find_target
    from backstay.systems import guides

    target = find_target(data, url, text, token, os.environ, Path.cwd())
    question = Question(
        target=target,
        only=only,
        bundle=Path(bundle) if bundle else None,
        replay=Path(replay) if replay else None,
    )
    answer = diagnose(guides(), question)
    click.echo(answer.as_json() if output == "json" else visible(answer.as_text()))
    return {"healthy": Exit.OK, "wrong": Exit.NEGATIVE}.get(answer.status, Exit.USAGE)
