"""`codeq`: the queue from the command line. Every command goes through the server."""

import click

from backstay.cli import face
from backstay.cli.codeq_admin import admin
from backstay.cli.codeq_auth import auth, init
from backstay.cli.codeq_beside import periodic, subscription
from backstay.cli.codeq_face import Given
from backstay.cli.codeq_install import install
from backstay.cli.codeq_queues import dlq, queue
from backstay.cli.codeq_tasks import task
from backstay.cli.completion import completion


@click.group("codeq", cls=face.Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--base-url",
    envvar="CODEQ_BASE_URL",
    metavar="URL",
    default="",
    help="The server, also CODEQ_BASE_URL.  [default: http://localhost:8080]",
)
@click.option(
    "--producer-token",
    envvar="CODEQ_PRODUCER_TOKEN",
    metavar="JWT",
    default="",
    help="Sent with task commands; also CODEQ_PRODUCER_TOKEN.",
)
@click.option(
    "--worker-token",
    envvar="CODEQ_WORKER_TOKEN",
    metavar="JWT",
    default="",
    help="Sent by workers; also CODEQ_WORKER_TOKEN.",
)
@click.option(
    "--admin-token",
    envvar="CODEQ_ADMIN_TOKEN",
    metavar="JWT",
    default="",
    help="Sent with queue and admin commands instead of the producer's; also CODEQ_ADMIN_TOKEN.",
)
@click.option(
    "--profile",
    envvar="CODEQ_PROFILE",
    metavar="NAME",
    default="",
    help="Whose stored credentials to use (codeq auth); also CODEQ_PROFILE.",
)
@click.option(
    "--timeout",
    envvar="CODEQ_TIMEOUT_SECONDS",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    help="For an answer, beside what waiting takes; also CODEQ_TIMEOUT_SECONDS.",
)
@click.option(
    "--iam-base-url",
    envvar="CODEQ_IAM_BASE_URL",
    metavar="URL",
    default="",
    help="Where auth login asks for tokens; also CODEQ_IAM_BASE_URL.",
)
@click.option(
    "--iam-api-key",
    envvar="CODEQ_IAM_API_KEY",
    metavar="KEY",
    default="",
    help="Its ?key=; also CODEQ_IAM_API_KEY.",
)
@click.option("--admin", "_admin", is_flag=True, hidden=True, help="Known from codeQ; not needed.")
@click.version_option(package_name="backstay", prog_name="codeq")
@click.pass_context
def command(
    ctx: click.Context,
    base_url: str,
    producer_token: str,
    worker_token: str,
    admin_token: str,
    profile: str,
    timeout: float,
    iam_base_url: str,
    iam_api_key: str,
    _admin: bool,
) -> None:
    """The codeQ task queue, by its server."""
    ctx.obj = Given(
        base_url,
        producer_token,
        worker_token,
        admin_token,
        profile,
        timeout,
        iam_base_url,
        iam_api_key,
    )


for group in (task, queue, dlq, periodic, subscription, admin, auth, init, install, completion):
    command.add_command(group)


# --- workers ---------------------------------------------------------------------------------


@command.group()
def worker() -> None:
    """Work on tasks."""


@worker.command("start")
@click.option("--events", default="", help="Kinds of work, with commas. [any]")
@click.option("--exec", "program", default="", metavar="CMD", help="Run for each task by sh -c.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--lease-seconds", type=click.FloatRange(min=0.1), default=300, show_default=True)
@click.option("--heartbeat-seconds", type=click.FloatRange(min=0.05), default=60, show_default=True)
@click.option("--wait-seconds", type=click.FloatRange(0, 30), default=10, show_default=True)
@click.option(
    "--grace-seconds",
    type=click.FloatRange(min=0),
    default=25,
    show_default=True,
    help="For what runs, after SIGTERM; then it is handed back. A second signal: at once.",
)
@click.option(
    "--ack",
    type=click.Choice(["complete", "abandon", "nack"]),
    default="abandon",
    show_default=True,
    help="Without --exec: what to do with a task that was shown.",
)
@click.option("--nack-delay", type=float, default=5, show_default=True)
@click.pass_obj
def worker_start(
    given: Given,
    events: str,
    program: str,
    concurrency: int,
    lease_seconds: float,
    heartbeat_seconds: float,
    wait_seconds: float,
    grace_seconds: float,
    ack: str,
    nack_delay: float,
) -> None:
    """Claim tasks until stopped.

    With --exec, CMD reads the payload on standard input and has CODEQ_TASK_ID, CODEQ_TASK_COMMAND,
    CODEQ_TASK_ATTEMPT, CODEQ_TASK_MAX_ATTEMPTS and TRACEPARENT in its environment. Exit code 0
    completes the task with the JSON it printed; 65 fails it for good; 75 hands it back uncounted;
    any other, or a signal, has it tried again. Standard error tells why. CMD is killed when the
    lease is lost.
    """
    from backstay.cli.codeq_worker import serve
    from backstay.queue.worker import WorkerSettings

    settings = WorkerSettings(
        concurrency=concurrency,
        lease=lease_seconds,
        wait=wait_seconds,
        heartbeat=min(heartbeat_seconds, lease_seconds / 3),
        grace=grace_seconds,
        patient=False,
    )
    names = [name.strip() for name in events.split(",") if name.strip()]
    serve(given, names, program, ack, nack_delay, settings)


def main() -> None:
    """The console script."""
    face.main(command, "codeq")


if __name__ == "__main__":
    main()
