"""What an intent can get wrong: PATCH001–PATCH047.

`message` is the text that older clients look for, `cause` the sentence for people, `fix` the
remedy. From PATCH040 on they are warnings, which refuse only in strict mode.
"""

from backstay.core.errors import ErrorEntry

INVALID = ErrorEntry(
    code="PATCH001",
    message="{text}",
    cause="{count} of the intent's rules do not hold",
    fix="correct what is named; patchgen explain shows every rule in its place",
    status=400,
    guide="intent-invalid",
)
NOT_JSON = ErrorEntry(
    code="PATCH010",
    message="invalid JSON: {reason}",
    cause="{says}",
    fix="{remedy}",
    status=400,
    guide="intent-not-json",
)
DUPLICATE = ErrorEntry(
    code="PATCH011",
    message="duplicate key {key!r}",
    cause="{key!r} stands twice; readers differ in which of the two they take",
    fix="keep one of them",
    status=400,
)
TOO_LARGE = ErrorEntry(
    code="PATCH012",
    message="intent too large: {size} bytes (max {limit})",
    cause="the limit protects memory",
    fix="send one intent, not a list; free text belongs elsewhere",
    status=413,
)
NOT_OBJECT = ErrorEntry(
    code="PATCH020",
    message="intent must be an object, not {found}",
    cause="an intent is one JSON object",
    fix="write {{…}}; several intents are lines or files of a batch: patchgen batch",
    status=400,
)
MISSING = ErrorEntry(
    code="PATCH021",
    message="missing required field: {field}",
    cause="Missing field: {field}",
    fix="add {field}, e.g. {example}",
    status=400,
)
WRONG_TYPE = ErrorEntry(
    code="PATCH022",
    message="{field} must be {wanted}, not {found}",
    cause="Wrong type: {field} is {found}",
    fix="write {wanted}",
    status=400,
)
WRONG_INTENT_TYPE = ErrorEntry(
    code="PATCH023",
    message="intent_type must be 'scaling'",
    cause="Invalid intent type: {value}",
    fix='use "scaling"; other types are not known here',
    status=400,
)
BAD_NAME = ErrorEntry(
    code="PATCH024",
    message='{field} does not match pattern "{pattern}"',
    cause="Invalid {field} name: {value}",
    fix="Must be lowercase alphanumeric with hyphens, in ASCII; perhaps {near}",
    status=400,
)
NAME_TOO_LONG = ErrorEntry(
    code="PATCH025",
    message="{field} too long: {count} chars (max {limit})",
    cause="{Field} too long: {count} chars (max {limit})",
    fix="shorten the name to {limit} characters",
    status=400,
)
REPLICAS_RANGE = ErrorEntry(
    code="PATCH026",
    message="replicas out of range: {value} (must be 0-100)",
    cause="Replicas out of range: {value} (must be 0-100)",
    fix="use a whole number from 0 to 100",
    status=400,
)
REPLICAS_FRACTION = ErrorEntry(
    code="PATCH027",
    message="replicas must be a whole number, not {value}",
    cause="Replicas are not whole: {value}",
    fix="use a whole number from 0 to 100",
    status=400,
)
TEXT_TOO_LONG = ErrorEntry(
    code="PATCH028",
    message="{field} too long: {count} chars (max {limit})",
    cause="{Field} too long: {count} chars (max {limit})",
    fix="shorten it; it becomes an annotation of the workload",
    status=400,
)
TEXT_CONTROL = ErrorEntry(
    code="PATCH029",
    message="{field} holds the control character {value}",
    cause="{Field} holds the control character {value}",
    fix="write plain text; of control characters only newline and tab are taken",
    status=400,
)
BAD_CORRELATION = ErrorEntry(
    code="PATCH030",
    message='correlation_id does not match pattern "{pattern}"',
    cause="Invalid correlation id: {value}",
    fix="use letters, digits, - and _ only, 128 at most",
    status=400,
)
NOT_ONE_OF = ErrorEntry(
    code="PATCH031",
    message="{field} must be one of {known}",
    cause="Unknown {field}: {value}",
    fix="use one of {known}",
    status=400,
)
NUMBER_RANGE = ErrorEntry(
    code="PATCH032",
    message="{field} out of range: {value} (must be {wanted})",
    cause="Out of range: {field} is {value}",
    fix="use a whole number that is {wanted}",
    status=400,
)
CONSTRAINT_REPLICAS = ErrorEntry(
    code="PATCH033",
    message="replicas {value} {relation} constraints.{field} {bound}",
    cause="The intent's own bound forbids it: {field} is {bound}",
    fix="change replicas, or the constraint if it is out of date",
    status=400,
)
CONSTRAINT_NAMESPACE = ErrorEntry(
    code="PATCH034",
    message="namespace {value} is not in constraints.allowed_namespaces",
    cause="The intent allows only {allowed}",
    fix="use an allowed namespace, or add this one",
    status=400,
)
CONSTRAINT_ORDER = ErrorEntry(
    code="PATCH035",
    message="constraints.min_replicas {low} is above constraints.max_replicas {high}",
    cause="No number of replicas fits both",
    fix="exchange the two",
    status=400,
)
NOT_ADAPTABLE = ErrorEntry(
    code="PATCH036",
    message="{shape}: {reason}",
    cause="Only what says one scaling of one workload can become an intent",
    fix="{remedy}",
    status=400,
)
UNKNOWN_FIELD = ErrorEntry(
    code="PATCH040",
    message="unknown field {field!r}",
    cause="Nobody reads {field!r}{near}",
    fix="remove it, or correct its name",
    status=400,
)
HAS_BOM = ErrorEntry(
    code="PATCH041",
    message="the text begins with a byte order mark",
    cause="UTF-8 needs none, and some readers stumble over it",
    fix="save the file as UTF-8 without BOM",
    status=400,
)
INTEGRAL = ErrorEntry(
    code="PATCH042",
    message="{field} is written as {value}",
    cause="It is a whole number, but many readers refuse this spelling",
    fix="write {whole}",
    status=400,
)
LONG_TARGET = ErrorEntry(
    code="PATCH043",
    message="target has {count} chars; labels hold 63",
    cause="Pods and labels made from the name are cut, a StatefulSet's are refused",
    fix="choose a workload name of at most 63 characters",
    status=400,
)
AUTOSCALED = ErrorEntry(
    code="PATCH044",
    message="an autoscaler owns replicas of {target}",
    cause="{who} sets the same field, and the two would undo each other",
    fix="change its minReplicas and maxReplicas, or remove it before applying this",
    status=400,
)
OLD_SHAPE = ErrorEntry(
    code="PATCH045",
    message="read as {shape}",
    cause="This is an older form; it was adapted",
    fix="patchgen explain prints the intent in the present form",
    status=400,
)
LONG_TEXT = ErrorEntry(
    code="PATCH046",
    message="{field} has {count} chars; strict mode takes one line of {limit}",
    cause="Long free text is hard to review where it ends up",
    fix="one short line, and the long story behind a link",
    status=400,
)
FREE_SOURCE = ErrorEntry(
    code="PATCH047",
    message="source {value!r} is none of {known}",
    cause="Sources outside the list cannot be counted or filtered by",
    fix="use one of {known}",
    status=400,
)
