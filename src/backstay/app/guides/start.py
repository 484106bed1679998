"""The app's server ends instead of starting: what it noted last names the cause."""

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import error_code, last_exit, look_inside, seen

_RECORD = "app.record"
_NOTHING = "none"
_READINGS = {
    "APP028": "behind",
    "APP003": "differs",
    "APP027": "foreign-table",
    "APP048": "newer",
    "CORE047": "newer",
    "CORE048": "newer",
    "APP002": "environment",
    "APP004": "program",
    "APP005": "program",
    "UP005": "program",
    "UP016": "no-queue",
    "UP018": "program",
    "UP019": "program",
    "APP040": "database-away",
    "APP045": "database-refuses",
    "APP001": "database-address",
    "CORE012": "no-tokens",
    "CORE110": "port",
    "CORE111": "port",
}


async def _look_at_record(target: Target) -> Evidence:
    """What the server noted in the data folder when it ended; history once one runs again."""
    reason, code = last_exit(target, "app")
    reading = _READINGS.get(error_code(reason), _NOTHING)
    if reading == _NOTHING:
        return seen(_RECORD, _NOTHING, "skip")
    live = await look_inside(_RECORD, target, "app", "/live")
    if not isinstance(live, Evidence):
        return seen(_RECORD, _NOTHING, "skip")
    facts: dict[str, Plain] = {
        "exit_reason": reason,
        "exit_code": code,
        "error": error_code(reason),
        "file": str(target.app_file or "FILE.cai"),
        "data": str(target.data),
    }
    return seen(_RECORD, reading, "fail", reason, **facts)


RECORD = Probe(
    _RECORD,
    "why did the app's server end that last ran on the data folder",
    "outside",
    (_NOTHING, *dict.fromkeys(_READINGS.values())),
    _look_at_record,
)


def _cause(id: str, reading: str, says: str, *fixes: str) -> Cause:
    expects = {
        _RECORD: {reading: 0.97},
        # Under a supervisor it is tried again and again, and given up.
        "app.exit": {"other": 0.6, "store": 0.2, "settings": 0.1, "port": 0.1},
        "app.process": {"gave-up": 0.5, "restarting": 0.3, "killed": 0.1},
        "app.live": {"silent": 0.95},
    }
    return Cause(id, f"{says}[[: {{exit_reason}}]]", 0.06, expects, fixes)


APP_START = Guide(
    id="app-start",
    title="The app's server ends instead of starting",
    seed="codeai: Service Restart Procedures; Database Recovery",
    symptoms=(
        Symptom("text", r"APP00[1-5]|APP02[78]|APP04[058]|UP01[689]|UP005", "it did not start"),
        Symptom("text", r"codeai.*(crash|exits|(will|wo)n.t start|not start)", "it ends at once"),
    ),
    probes=(RECORD,),
    causes=(
        _cause(
            "migrations-behind",
            "behind",
            "the tables are behind the program; nothing stored is touched by bringing them up",
            "migrate",
            "start-migrating",
        ),
        _cause(
            "migration-touches-data",
            "differs",
            "the tables differ from the program in ways that touch what is stored",
            "see-plan",
            "migrate-data",
        ),
        _cause(
            "table-is-anothers",
            "foreign-table",
            "a table of that name is there already, and not the program's",
            "see-plan",
        ),
        _cause("app-store-newer", "newer", "a newer release wrote this database", "restore"),
        _cause("environment-missing", "environment", "a variable is not set", "set-variable"),
        _cause("app-program-invalid", "program", "the program cannot be served", "validate"),
        _cause("app-without-queue", "no-queue", "its steps need a queue", "name-queue"),
        _cause("app-database-away", "database-away", "the database does not answer", "reach"),
        _cause(
            "app-database-refuses",
            "database-refuses",
            "the database does not let the app in",
            "ask-database",
        ),
        _cause("app-database-address", "database-address", "DATABASE_URL is no address", "name"),
        _cause(
            "app-open-without-tokens",
            "no-tokens",
            "it would be open to everybody who reaches it, as it knows no issuer of tokens",
            "give-secret",
            "loopback",
        ),
        _cause("app-port-taken", "port", "it cannot have its address", "other-port"),
    ),
    fixes=(
        Fix("migrate", "Bring the tables up", "codeai migrate {file} --apply", "data"),
        Fix("start-migrating", "Or let the server do it", "codeai server {file} --migrate", "data"),
        Fix("see-plan", "See what would be done, as SQL", "codeai migrate {file}", "none"),
        Fix(
            "migrate-data",
            "Save the database, then do it",
            "codeai migrate {file} --apply --yes",
            "data",
        ),
        Fix(
            "restore",
            "Use that release again, or restore a backup of this one's",
            "backstay restore BACKUP --data {data}",
            "data",
        ),
        Fix("set-variable", "Read which, and set it", "backstay explain {error}", "none"),
        Fix("validate", "See what is wrong with it", "codeai validate {file}", "none"),
        Fix(
            "name-queue",
            "Say where the queue is",
            "export CODEQ_BASE_URL=http://127.0.0.1:8080",
            "restart",
        ),
        Fix("reach", "See whether it can be reached", "pg_isready -d $DATABASE_URL", "none"),
        Fix("ask-database", "See what it says", "psql $DATABASE_URL -c 'SELECT 1'", "none"),
        Fix(
            "name",
            "Give one, or none for a file in the data folder",
            "export DATABASE_URL=postgres://USER@HOST/NAME",
            "restart",
        ),
        Fix(
            "give-secret",
            "Give it the secret of your tokens, or JWT_JWKS_URL",
            "export JWT_SECRET=SECRET",
            "restart",
        ),
        Fix(
            "loopback",
            "Or let only this machine reach it",
            "codeai server {file} --listen 127.0.0.1:8080",
            "restart",
        ),
        Fix("other-port", "Take another", "codeai server {file} --port 8082", "restart"),
    ),
    escalation="what was accepted stays in the database; it may be started as often as needed",
)
