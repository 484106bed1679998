"""What can go wrong around the supervisor and its commands."""

from backstay.core.errors import ErrorEntry, Exit

PORT_TAKEN = ErrorEntry(
    code="UP001",
    message="port {port} on {host} is taken by {holder}",
    cause="{purpose} wants to listen there, and only one program can",
    fix="end that program, or choose another port: add --port {other} "
    "(make up ARGS='--port {other}')",
    exit=Exit.UNREACHABLE,
    guide="port-taken",
)
BAD_PROJECT = ErrorEntry(
    code="UP002",
    message="{where}: {problem}",
    cause="this file says what `backstay up` starts beside the systems",
    fix="{fix}",
    exit=Exit.USAGE,
)
NO_SUCH_PROCESS = ErrorEntry(
    code="UP003",
    message="no process is named {name}",
    cause="these run here: {known}",
    fix="name one of them.{nearest}",
    status=404,
    exit=Exit.USAGE,
)
NOTHING_RUNS = ErrorEntry(
    code="UP004",
    message="nothing runs on the data folder {data}",
    cause="{reason}",
    fix="start it: backstay up [FILE.cai] --data {data}",
    exit=Exit.UNREACHABLE,
)
NO_APP_FILE = ErrorEntry(
    code="UP005",
    message="{file} is not a file that can be read",
    cause="{reason}",
    fix="give the path of a .cai file or of a folder with one; codeai new FOLDER makes one",
    exit=Exit.USAGE,
)
NOT_OURS = ErrorEntry(
    code="UP006",
    message="{data} is not a data folder of Backstay",
    cause="it has no file {marker}, which `backstay up` writes on the first start",
    fix="give the folder that `backstay up` made: --data DIR",
    exit=Exit.USAGE,
)
STILL_RUNS = ErrorEntry(
    code="UP007",
    message="{data} is in use by the supervisor with pid {pid}",
    cause="its files must not change under running processes",
    fix="stop it first: backstay down --data {data}",
    exit=Exit.NEGATIVE,
)
SEED_FAILED = ErrorEntry(
    code="UP008",
    message="the seed command ended with code {code}: {command}",
    cause="{reason}",
    fix="run it by hand in the folder of backstay.yaml; it is tried again at the next start",
)
SEED_REFUSED = ErrorEntry(
    code="UP009",
    message="the app did not take the seed data: {reason}",
    cause="status {status} from POST /api/v1/admin/seed",
    fix="correct what the seed command prints; it is tried again at the next start",
)
NEVER_READY = ErrorEntry(
    code="UP010",
    message="not ready after {seconds} s: {names}",
    cause="{reason}",
    fix="read why: backstay logs {first}",
    exit=Exit.NEGATIVE,
)
NO_SUCH_CODE = ErrorEntry(
    code="UP011",
    message="no error has the code {code}",
    cause="codes look like CORE010, QUEUE003 or UP001",
    fix="{nearest}",
    exit=Exit.USAGE,
)
NOT_EMPTY = ErrorEntry(
    code="UP012",
    message="{folder} is not empty",
    cause="a backup goes into a folder of its own, and never over another one",
    fix="give a new folder",
    exit=Exit.USAGE,
)
NO_BACKUP = ErrorEntry(
    code="UP013",
    message="{folder} holds no backup of Backstay",
    cause="it has no file {marker}",
    fix="give the folder that `backstay backup` wrote",
    exit=Exit.USAGE,
)
NEEDS_YES = ErrorEntry(
    code="UP014",
    message="this deletes {data}: {files} files, {size}",
    cause="it cannot be taken back",
    fix="type it again with --yes, after a backup: backstay backup DIR --data {data}",
    exit=Exit.USAGE,
)
TASKS_WITHOUT_QUEUE = ErrorEntry(
    code="UP016",
    message="{file} sends work to outside workers ({steps}), and no queue is configured",
    cause="a step with `task` needs a codeQ server, and CODEQ_BASE_URL is not set",
    fix="start it with `backstay up {file}`, or set CODEQ_BASE_URL=http://HOST:PORT",
    exit=Exit.USAGE,
)
NOTHING_TO_START = ErrorEntry(
    code="UP017",
    message="no system of this installation can be started",
    cause="none of codeq-server, codeai and backstay gateway was found in the package",
    fix="install Backstay again: pip install --force-reinstall backstay",
)
PROGRAM_INVALID = ErrorEntry(
    code="UP018",
    message="{file} is not served; mistakes in it: {count}",
    cause="the first is {first}",
    fix="correct what is listed above; check again: codeai validate {file}",
    exit=Exit.USAGE,
)

NOT_RUN_YET = ErrorEntry(
    code="UP019",
    message="{file} is not served; it uses what this version does not run: {count}",
    cause="the first is {first}",
    fix="write what is listed above instead; the language itself: codeai validate {file}",
    exit=Exit.USAGE,
)

ENTRIES = (
    PORT_TAKEN,
    BAD_PROJECT,
    NO_SUCH_PROCESS,
    NOTHING_RUNS,
    NO_APP_FILE,
    NOT_OURS,
    STILL_RUNS,
    SEED_FAILED,
    SEED_REFUSED,
    NEVER_READY,
    NO_SUCH_CODE,
    NOT_EMPTY,
    NO_BACKUP,
    NEEDS_YES,
    TASKS_WITHOUT_QUEUE,
    NOTHING_TO_START,
    PROGRAM_INVALID,
    NOT_RUN_YET,
)
