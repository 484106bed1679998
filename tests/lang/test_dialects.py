"""Three dialects, one language: what each says, in the tree and in the program."""

from pathlib import Path

import pytest

from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.api import check_text, parse_text
from backstay.lang.diagnostics import Diagnostic, Edit

PROGRAMS = Path(__file__).parent / "programs"
ENTITY = "entity A { id: uuid, primary, auto\n n: int }\n"


def checked(text: str) -> p.Program:
    program, found = check_text("a.cai", text)
    assert program is not None, found
    return program


def found(text: str) -> list[Diagnostic]:
    return check_text("a.cai", text)[1]


def messages(text: str) -> list[str]:
    return [f"{each.kind}: {each.message}" for each in found(text)]


# --- the oldest: what the original parses ------------------------------------------------------


def test_the_original_means_the_same() -> None:
    program = checked((PROGRAMS / "original.cai").read_text())
    (model,) = program.models
    assert [(field.name, field.type, field.modifiers) for field in model.fields] == [
        ("id", "uuid", ("primary", "auto")),
        ("name", "string", ("required", "default")),
        ("email", "string", ("unique",)),
    ]
    assert model.indexes == (p.Index(("email",), True), p.Index(("name", "email")))
    assert program.roles == (p.Role("admin", ("*:*", "a:b")),)
    (provider,) = program.providers
    assert (provider.method, provider.issuer, provider.audience) == ("jwt", "i", "a")
    assert [each.type for each in program.middleware] == ["authentication", "rate_limiting"]
    assert program.handlers == (
        p.Handler("user.created", "workflow", "welcome", True),
        p.Handler("user_created", "webhook", "hook"),
    )
    (integration,) = program.integrations
    assert integration.timeout == 30.0
    assert integration.token == p.Env("T", None, p.ScalarType("string"))
    assert integration.breaker == p.BreakerRule(5, 60.0, 3)
    (webhook,) = program.webhooks
    assert (webhook.retry.times, webhook.retry.initial) == (3, 1.0)
    assert [name for name, _ in webhook.headers] == ["A", "C"]


def test_an_old_endpoint_has_its_steps_and_a_new_path() -> None:
    (endpoint,) = checked((PROGRAMS / "original.cai").read_text()).endpoints
    assert endpoint.path == "/users/{id}"
    assert [field.name for field in endpoint.path_fields] == ["id"]
    assert endpoint.middleware == ("authn", "limit")
    assert (endpoint.request, endpoint.response) == (("UserId", "path"), ("User", 200))
    assert endpoint.annotations == (("auth", "jwt"), ("deprecated", ""))
    assert isinstance(endpoint.does, p.Action)
    request, find, query, missing = endpoint.does.body
    assert isinstance(request, p.Let)
    assert isinstance(find, p.Ask)
    assert (find.into, find.text) == ("found", "select from User where id = @request.id limit 1")
    assert [name for name, _ in find.parameters] == ["request.id"]
    assert isinstance(query, p.Ask)
    assert (query.into, query.text) == ("rows", "select from User")
    assert isinstance(missing, p.If)
    assert isinstance(endpoint.does.returns, p.ItemAt)


def test_old_workflows_and_jobs_stand_in_the_same_file() -> None:
    program = checked((PROGRAMS / "original.cai").read_text())
    (workflow,) = program.workflows
    assert workflow.trigger == p.Trigger("event", "user.created")
    assert workflow.retry == p.Retry(3, "exponential", 1.0)
    mail, together = workflow.steps
    assert mail.work == p.ActStep("activity", p.Act("send"))
    assert isinstance(together.work, p.ParallelStep)
    assert [each.name for each in together.work.steps] == ["x", "y"]
    (job,) = program.jobs
    assert job.task is not None
    assert (job.task.command, job.queue) == ("cleanup", "low")


def test_a_command_ends_at_its_own_brace() -> None:
    file, problems = parse_text("a.cai", "exec { echo \"}\" ${HOME} { } '}' }\nvar x = 1")
    assert problems == []
    first, second = file.declarations
    assert isinstance(first.statement, s.ExecNode)
    assert first.statement.command == "echo \"}\" ${HOME} { } '}'"
    assert second.keyword.name == "var"


def test_words_are_soft() -> None:
    names = ("job", "event", "workflow", "entity", "emit", "create", "step", "exec", "test")
    text = "\n".join(f"var {name} = 1\n{name} = 2" for name in names)
    assert len(checked(text).script) == 2 * len(names)


def test_an_old_spelling_gives_the_same_program() -> None:
    old = 'integration I { type rest base_url "http://x" timeout "2s" }'
    new = 'integration I {\n  timeout: 2s,\n  base_url: "http://x",\n  type: rest,\n}'
    assert checked(old).integrations == checked(new).integrations


# --- the business language ---------------------------------------------------------------------


def test_the_business_language_arrives_in_the_program() -> None:
    program = checked((PROGRAMS / "business.cai").read_text())
    customer = program.entity("Customer")
    assert customer.soft_delete
    assert customer.indexes == (p.Index(("email",), True),)
    fields = {field.name: field for field in customer.fields}
    assert fields["email"].searchable
    assert fields["updated"].auto_update
    (event,) = program.events
    assert [(each.name, each.required) for each in event.payload] == [
        ("order", False),
        ("total", False),
        ("note", False),
    ]
    assert [each.name for each in event.publish] == ["kafka", "webhook", "slack", "email"]
    (function,) = program.functions
    assert function.result == p.DecimalType(10, 2)
    assert isinstance(function.body[-1], p.Return)
    (integration,) = program.integrations
    assert integration.breaker == p.BreakerRule(5, 30.0, 3, 60.0)
    assert integration.rate_limit == p.Rate(100, 60.0)
    assert {name for name, _ in integration.settings} == {
        "batching",
        "dead_letter",
        "default_cache_ttl",
        "fallback",
        "idempotency",
        "signature",
    }


def test_a_workflow_of_the_business_language() -> None:
    (workflow,) = checked((PROGRAMS / "business.cai").read_text()).workflows
    assert workflow.trigger == p.Trigger("event", "order_placed")
    look, together, each, query, emit, do = workflow.steps
    assert isinstance(look.work, p.NoWork)
    assert look.check is not None
    assert isinstance(together.work, p.ParallelStep)
    charge, mail = together.work.steps
    assert charge.retry.times == 2
    assert charge.compensate == p.ActStep(
        "action", p.Act("cancel_charge", (p.Constant("x", p.ScalarType("string")),))
    )
    assert mail.when is not None
    assert each.for_each is not None
    assert each.into == "o"
    assert query.work == p.QueryStep('select orders where status = "open" limit 5')
    assert isinstance(emit.work, p.EmitStep)
    assert emit.on_fail == p.Act("rollback")
    assert isinstance(do.work, p.DoStep)
    assert workflow.on_fail == (p.Act("rollback"),)


def test_jobs_run_by_the_clock_or_each_hour() -> None:
    nightly, hourly = checked((PROGRAMS / "business.cai").read_text()).jobs
    assert (nightly.every, nightly.queue, nightly.timeout) == (3600.0, "low", 300.0)
    assert [step.name for step in nightly.steps] == ["one"]
    assert hourly.schedule == "0 * * * *"


# --- the third spelling ------------------------------------------------------------------------


def test_tables_are_refused_with_the_entity_they_stand_for() -> None:
    text = 'database postgres {\n  users {\n    id uuid primary_key\n    name string required\n    plan string default "free"\n    team_id uuid references teams\n  }\n}'
    (problem,) = found(text)
    assert (problem.code, problem.span.line, problem.span.column) == ("LANG021", 2, 3)
    assert problem.edit is not None
    assert problem.edit.text.splitlines() == [
        "entity User {",
        "  id: uuid, primary, auto",
        "  name: string, required",
        '  plan: string, default("free")',
        "  team_id: ref(Team)",
        "}",
    ]


TABLES = {
    "defaults in quotes": """database postgres {
  users {
    id uuid primary_key default "gen_random_uuid()"
    email varchar(255) unique not_null
    name varchar(100) default "it's {new}"
    age integer default "0"
    active boolean default "true"
    score numeric(10,2) default 1.5
    created_at timestamp default "now()"
    updated_at timestamptz default now()
  }
}""",
    "two tables, one of them refers": """config { name: "x" }
database postgres {
  users { id uuid primary_key  email varchar(255) unique }
  posts {
    id serial primary key
    author_id uuid not null references users(id)
    editor uuid references users.id
    title varchar(200) required,
    body text
    tags jsonb default "{}"
    published_at timestamp default CURRENT_TIMESTAMP
    index(author_id)
    index: [title, author_id] unique
  }
}
endpoint GET /posts { auth: public, returns: list(Post) }""",
    "no key, unknown types": """database postgres {
  log_entries {
    line citext strange
    level
    at timestamp default "yesterday"
  }
}""",
    "one line": 'database postgres { users { id uuid primary_key, name string default "a" } }',
    "between models": """database postgres {
  model Old { id: uuid, primary, auto }
  users {
    id uuid primary_key
  }
  model Older { id: uuid, primary, auto }
}""",
    "an id that is not called the key": "database postgres { users { id uuid, name string } }",
    "as a dump has it": """database postgres {
  teams {
    id uuid primary key
    name varchar(50) not null check (length(name) > 2)
    tags text[] not null default '{}'
    lead references people
    owner_id uuid references people(id) on delete set null on update cascade,
    parent_id uuid
    constraint one_parent foreign key (parent_id) references teams (id) on delete restrict
    unique (name, owner_id)
    check (name <> 'x')
  }
  people {
    number int
    scores numeric(8,3)[]
    primary key (number)
  }
}""",
    "nothing inside": "database postgres { users { } }",
    "documents": "database mongodb { users { _id uuid primary_key } }",
}


def applied(text: str, edit: Edit) -> str:
    lines = text.split("\n")
    before = "\n".join(
        [*lines[: edit.span.line - 1], lines[edit.span.line - 1][: edit.span.column - 1]]
    )
    after = "\n".join(
        [lines[edit.span.end_line - 1][edit.span.end_column - 1 :], *lines[edit.span.end_line :]]
    )
    return before + edit.text + after


@pytest.mark.parametrize("text", TABLES.values(), ids=list(TABLES))
def test_the_edit_for_tables_makes_a_file_without_errors(text: str) -> None:
    (problem,) = [each for each in found(text) if each.severity == "error"]
    assert problem.code == "LANG021"
    assert problem.edit is not None
    after = applied(text, problem.edit)
    program, left = check_text("a.cai", after)
    assert program is not None, (after, left)
    assert program.entities, after


def test_a_table_of_a_dump_keeps_references_lists_and_keys() -> None:
    (problem,) = found(TABLES["as a dump has it"])
    assert problem.edit is not None
    assert problem.edit.text.splitlines() == [
        "entity Team {",
        "  id: uuid, primary, auto",
        "  name: string, max(50), required",
        "  tags: list(text), required",
        "  lead: ref(People)",
        "  owner_id: ref(People)",
        "  parent_id: ref(Team)",
        "  index: [name, owner_id] unique",
        "}",
        "",
        "entity People {",
        "  number: int, primary, auto",
        "  scores: list(decimal(8, 3))",
        "}",
    ]


def test_a_table_keeps_what_an_entity_can_say_of_it() -> None:
    (problem,) = found(TABLES["defaults in quotes"])
    assert problem.edit is not None
    assert problem.edit.text.splitlines() == [
        "entity User {",
        "  id: uuid, primary, auto",
        "  email: string, max(255), unique, required",
        '  name: string, max(100), default("it\'s \\{new}")',
        "  age: int, default(0)",
        "  active: bool, default(true)",
        "  score: decimal(10, 2), default(1.5)",
        "  created_at: timestamp, default(now())",
        "  updated_at: timestamp, default(now())",
        "}",
    ]


def test_an_edit_for_tables_leaves_the_models_beside_them() -> None:
    (problem,) = found(TABLES["between models"])
    assert problem.edit is not None
    assert problem.edit.text.splitlines() == [
        "database postgres {",
        "  model Old { id: uuid, primary, auto }",
        "  model Older { id: uuid, primary, auto }",
        "}",
        "",
        "entity User {",
        "  id: uuid, primary, auto",
        "}",
    ]


# --- the checker -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "role a { permissions [] }\nrole a { permissions [] }",
            "SemanticError: duplicate role 'a'; first declared at a.cai:1:6",
        ),
        ('role a { permissions [""] }', "SemanticError: empty permission in role 'a'"),
        (
            'auth m { method jwt jwks_url "" }',
            "SemanticError: jwks_url is required in auth provider",
        ),
        (
            "middleware m { type authentication }",
            "SemanticError: authentication middleware 'm' requires 'provider' in config",
        ),
        (
            "middleware m { type authentication config { provider: x } }",
            "SemanticError: authentication middleware 'm' references unknown auth provider 'x'",
        ),
        (
            "middleware m { type authorization config { role: x } }",
            "SemanticError: authorization middleware 'm' references unknown role 'x'",
        ),
        (
            "middleware m { type rate_limiting config { requests: 5 } }",
            "SemanticError: rate_limiting middleware 'm' requires 'window' in config",
        ),
        (
            "database postgres { model M { id: uuid id: uuid } }",
            "SemanticError: duplicate field 'id' in model 'M'",
        ),
        (
            "database postgres { model M { id: uuid index: [x] } }",
            "SemanticError: index references unknown field 'x' in model 'M'",
        ),
        (
            "database postgres { model M { id: uuid, unique, unique } }",
            "SemanticError: duplicate modifier 'unique' on field 'id' in model 'M'",
        ),
        (
            "database postgres { model M { id: uuid, required, optional } }",
            "SemanticError: field 'id' cannot be both required and optional",
        ),
        (
            'config { database_type: "mongodb" }',
            "SemanticError: mongodb_uri is required when database_type is 'mongodb'",
        ),
        (ENTITY + 'on "nope" do emit "nope"', "SemanticError: event 'nope' is not registered"),
        (
            'webhook w { url "http://x" }',
            "SemanticError: webhook 'w' requires an event name",
        ),
    ],
)
def test_texts_of_the_validator(text: str, message: str) -> None:
    assert messages(text)[0] == message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("function unused_one(a) { var b = a }", "LANG112"),
        ("event some_thing { }", "LANG112"),
        ('config { auth: jwt { secret: "hunter2" } }', "LANG113"),
        ("event Bad_NAME { }", "LANG109"),
        ("workflow w { steps { s { when: false\n do { } } } }", "LANG115"),
        ("workflow w { steps { s { check: true\n compensate: rollback } } }", "LANG116"),
    ],
)
def test_warnings_do_not_prevent_the_program(text: str, code: str) -> None:
    program, problems = check_text("a.cai", text)
    assert program is not None
    assert code in [each.code for each in problems]
    assert {each.severity for each in problems} == {"warning"}


@pytest.mark.parametrize(
    ("text", "code", "fix"),
    [
        (
            "event order_placed { }\njob j { schedule: every 1h\n do { emit order_plced } }",
            "LANG110",
            "order_placed",
        ),
        ("workflow w { steps { s { action: rolback } } }", "LANG114", "rollback"),
        ("middleware m { type loging }", "LANG102", "logging"),
        ("database postgres { model M { id: uuidd } }", "LANG106", "uuid"),
        (
            "endpoint GET /a { returns: void\n middleware: [auht] }\nmiddleware auth { type logging }",
            "LANG103",
            "auth",
        ),
        (ENTITY + "endpoint GET /a { returns: paginated(A)\n cahe: 5m }", "LANG015", "cache"),
        ("evnt x_y { }", "LANG014", "event"),
    ],
)
def test_the_nearest_name_is_offered(text: str, code: str, fix: str) -> None:
    problem = next(each for each in found(text) if each.severity == "error")
    assert problem.code == code
    assert problem.edit is not None
    assert problem.edit.text == fix


@pytest.mark.parametrize("path", ['"/visits/:iあd"', "/visits/{iあd}", '"/visits/{é}"'])
def test_a_parameter_of_a_path_is_a_word_of_the_language(path: str):
    """Found by the fuzzer: what no `path { }` could name went through the check."""
    text = f"endpoint DELETE {path} {{ auth: public\n do {{ fail 404 }} }}"
    _, problems = check_text("a.cai", text)
    assert [each.code for each in problems] == ["LANG019"]


def test_a_query_that_the_file_ends_in_does_not_hold_the_end_of_the_line():
    """Found by the fuzzer: `fmt` ends a file with a line's end, and the query grew by it."""
    text = "workflow w { steps { s {\n query: select from Order with a\\ { b"
    for ending in ("", "\n"):
        file, _ = parse_text("a.cai", text + ending)
        assert "'select from Order with a\\\\ { b'" in repr(file)
