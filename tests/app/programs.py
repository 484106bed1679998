"""Programs made by hand: `orders()` means the same as examples/orders/app.cai."""

from decimal import Decimal
from pathlib import Path

from msgspec.structs import replace

from backstay.lang.api import check_text
from backstay.lang.program import (
    Access,
    Action,
    Aggregate,
    Auth,
    Binary,
    BreakerRule,
    Call,
    CallStep,
    Column,
    Constant,
    Create,
    DecimalType,
    Delete,
    DoStep,
    Endpoint,
    Entity,
    EnumType,
    Env,
    Expr,
    Fail,
    Field,
    For,
    Get,
    If,
    Index,
    Integration,
    Job,
    Let,
    ListOf,
    ListType,
    ManyType,
    Map,
    Name,
    OneOf,
    Operation,
    Program,
    Record,
    RecordType,
    RefType,
    Retry,
    RowType,
    ScalarType,
    Start,
    Statement,
    Step,
    Sum,
    TaskStep,
    Type,
    UnknownType,
    Update,
    Workflow,
)

STRING, TEXT, INT, FLOAT = (
    ScalarType("string"),
    ScalarType("text"),
    ScalarType("int"),
    ScalarType("float"),
)
BOOL, UUID, STAMP, JSON = (
    ScalarType("bool"),
    ScalarType("uuid"),
    ScalarType("timestamp"),
    ScalarType("json"),
)
DATE, DURATION = ScalarType("date"), ScalarType("duration")
MONEY, TOTAL, REVENUE = DecimalType(10, 2), DecimalType(12, 2), DecimalType(14, 2)
STATUS = EnumType(("pending", "reserved", "paid", "packed", "fulfilled", "cancelled", "refunded"))
LINES = ManyType("OrderLine", "order")
USER = RecordType((Field("id", STRING),))

TRUE = Constant(True, BOOL)
NOW = Call("now", (), STAMP)


def text(value: str) -> Constant:
    return Constant(value, STRING)


def binary(op: str, left: Expr, right: Expr, kind: Type = BOOL) -> Binary:
    return Binary(op, left, right, kind)


def eq(left: Expr, right: Expr) -> Binary:
    return binary("==", left, right)


def both(left: Expr, right: Expr) -> Binary:
    return binary("and", left, right)


def join(*parts: Expr) -> Call:
    return Call("text", parts, STRING)


def has(role: str) -> Call:
    return Call("user.has", (text(role),), BOOL)


def key() -> Field:
    return Field("id", UUID, primary=True, auto=True)


def created() -> Field:
    return Field("created_at", STAMP, default=NOW)


STAFF = has("staff")
STAFF_WRITES = Access(read=TRUE, create=STAFF, update=STAFF, delete=STAFF)

CUSTOMER = Entity(
    "Customer",
    "customers",
    (
        key(),
        Field("name", STRING, required=True, minimum=Decimal(1), maximum=Decimal(200)),
        Field("email", STRING, required=True, unique=True),
        created(),
    ),
    access=Access(read=STAFF, create=STAFF, update=STAFF, delete=STAFF),
    description="Someone who buys",
)
PRODUCT = Entity(
    "Product",
    "products",
    (
        key(),
        Field("sku", STRING, required=True, unique=True),
        Field("name", STRING, required=True),
        Field("price", MONEY, required=True, minimum=Decimal(0)),
        Field("stock", INT, required=True, minimum=Decimal(0)),
    ),
    indexes=(Index(("name",)),),
    access=STAFF_WRITES,
    description="Something to buy",
)
ORDER = Entity(
    "Order",
    "orders",
    (
        key(),
        Field("customer", RefType("Customer"), required=True),
        Field("status", STATUS, default=Constant("pending", STATUS)),
        Field("total", TOTAL, required=True),
        Field("lines", LINES),
        Field("parcel", STRING),
        created(),
    ),
    indexes=(Index(("status", "created_at")),),
    access=Access(read=TRUE, create=TRUE, update=STAFF),
)
LINE = Entity(
    "OrderLine",
    "order_lines",
    (
        key(),
        Field("order", RefType("Order"), required=True),
        Field("product", RefType("Product"), required=True),
        Field("quantity", INT, required=True, minimum=Decimal(1), maximum=Decimal(1000)),
        Field("unit_price", MONEY, required=True),
    ),
    access=Access(read=TRUE, create=TRUE),
)
NOTIFICATION = Entity(
    "Notification",
    "notifications",
    (
        key(),
        Field("order", RefType("Order"), required=True, unique=True),
        Field("text", STRING, required=True),
        created(),
    ),
    access=Access(read=STAFF),
)
SALES = Entity(
    "DailySales",
    "daily_sales",
    (
        key(),
        Field("at", STAMP, default=NOW),
        Field("orders", INT, required=True),
        Field("revenue", REVENUE, required=True),
    ),
    access=Access(read=STAFF),
)

BODY_LINE = RecordType(
    (
        Field("product", RefType("Product"), required=True),
        Field("quantity", INT, required=True, minimum=Decimal(1), maximum=Decimal(100)),
    )
)
ORDER_BODY = RecordType(
    (
        Field("customer", RefType("Customer"), required=True),
        Field(
            "lines",
            ListType(BODY_LINE),
            required=True,
            minimum=Decimal(1),
            maximum=Decimal(50),
        ),
    )
)

QTY = Get(Name("body", RecordType(())), "quantity", INT)
_BODY = Name("body", ORDER_BODY)
_LINE = Name("line", BODY_LINE)
_PRICE = Get(Get(_LINE, "product", RefType("Product")), "price", MONEY)
_BODY_LINES = Get(_BODY, "lines", ListType(BODY_LINE))
_QUANTITY = Get(_LINE, "quantity", INT)

PLACE_ORDER: tuple[Statement, ...] = (
    Create(
        "Order",
        (
            ("customer", Get(_BODY, "customer", RefType("Customer"))),
            ("total", Sum("line", _BODY_LINES, binary("*", _QUANTITY, _PRICE, TOTAL), TOTAL)),
            (
                "lines",
                Map(
                    "line",
                    _BODY_LINES,
                    Record(
                        (
                            ("product", Get(_LINE, "product", RefType("Product"))),
                            ("quantity", _QUANTITY),
                            ("unit_price", _PRICE),
                        ),
                        RecordType(()),
                    ),
                    ListType(RecordType(())),
                ),
            ),
        ),
        into="order",
    ),
    Start("fulfil_order", (("order", Get(Name("order", RowType("Order")), "id", UUID)),)),
)

_ORDER_INPUT = Name("order", RefType("Order"))
_ORDER_ID = Get(_ORDER_INPUT, "id", UUID)
_ORDER_LINE = Name("line", RowType("OrderLine"))
_LINE_PRODUCT = Get(_ORDER_LINE, "product", RefType("Product"))
_LINE_QUANTITY = Get(_ORDER_LINE, "quantity", INT)
_LINES_OF_ORDER = Get(_ORDER_INPUT, "lines", LINES)
_STOCK = Column("stock", INT)


def set_status(status: str, *more: tuple[str, Expr]) -> Update:
    return Update(
        "Order",
        eq(Column("id", UUID), _ORDER_ID),
        (("status", Constant(status, STATUS)), *more),
    )


RESERVE: tuple[Statement, ...] = (
    For(
        "line",
        _LINES_OF_ORDER,
        (
            Update(
                "Product",
                both(eq(Column("id", UUID), _LINE_PRODUCT), binary(">=", _STOCK, _LINE_QUANTITY)),
                (("stock", binary("-", _STOCK, _LINE_QUANTITY, INT)),),
                Fail(join(text("product "), _LINE_PRODUCT, text(" is out of stock"))),
            ),
        ),
    ),
    set_status("reserved"),
)
PUT_BACK: tuple[Statement, ...] = (
    For(
        "line",
        _LINES_OF_ORDER,
        (
            Update(
                "Product",
                eq(Column("id", UUID), _LINE_PRODUCT),
                (("stock", binary("+", _STOCK, _LINE_QUANTITY, INT)),),
            ),
        ),
    ),
)
_PARCEL = Get(Get(Name("steps", RecordType(())), "pack", UnknownType()), "parcel", UnknownType())
NOTIFY: tuple[Statement, ...] = (
    set_status("fulfilled", ("parcel", _PARCEL)),
    Create(
        "Notification",
        (
            ("order", _ORDER_ID),
            ("text", join(text("Your parcel "), _PARCEL, text(" is on its way"))),
        ),
    ),
)

FULFIL = Workflow(
    "fulfil_order",
    (Field("order", RefType("Order"), required=True),),
    (
        Step("reserve", DoStep(RESERVE), compensate=DoStep(PUT_BACK)),
        Step(
            "charge",
            CallStep(
                "Payments",
                "charge",
                (
                    ("order", _ORDER_ID),
                    ("amount", Get(_ORDER_INPUT, "total", TOTAL)),
                    ("currency", text("EUR")),
                ),
            ),
            timeout=2.0,
            retry=Retry(4, "exponential", 0.2, 2.0),
            compensate=CallStep("Payments", "refund", (("order", _ORDER_ID),)),
        ),
        Step("paid", DoStep((set_status("paid"),))),
        Step(
            "pack",
            TaskStep(
                "PACK_ORDER",
                Record(
                    (
                        ("order", _ORDER_ID),
                        (
                            "lines",
                            Map(
                                "line",
                                _LINES_OF_ORDER,
                                Record(
                                    (("product", _LINE_PRODUCT), ("quantity", _LINE_QUANTITY)),
                                    RecordType(()),
                                ),
                                ListType(RecordType(())),
                            ),
                        ),
                    ),
                    RecordType(()),
                ),
            ),
            timeout=600.0,
            retry=Retry(3, "exponential", 1.0, 30.0),
        ),
        Step("notify", DoStep(NOTIFY)),
    ),
    timeout=1800.0,
    on_fail=(set_status("cancelled"),),
)
REFUND = Workflow(
    "refund_order",
    (Field("order", RefType("Order"), required=True),),
    (
        Step(
            "give_back",
            CallStep("Payments", "refund", (("order", _ORDER_ID),)),
            retry=Retry(10, "exponential", 0.5, 30.0),
        ),
    ),
)

_FULFILLED = eq(Column("status", STATUS), Constant("fulfilled", STATUS))
NIGHTLY = Job(
    "nightly_sales",
    "15 2 * * *",
    "Europe/Berlin",
    (
        Create(
            "DailySales",
            (
                ("orders", Aggregate("count", "Order", "", _FULFILLED, INT)),
                ("revenue", Aggregate("sum", "Order", "total", _FULFILLED, TOTAL)),
            ),
        ),
    ),
)

_PATH = (Field("id", UUID, required=True),)
_PATH_ID = Get(Name("path", RecordType(_PATH)), "id", UUID)
_EXECUTION = Name("execution", RecordType((Field("id", UUID),)))

ENDPOINTS = (
    Endpoint(
        "GET",
        "/products",
        "public",
        ListOf("Product", ("sku", "name", "price", "stock"), ("name", "price", "stock")),
    ),
    Endpoint("GET", "/products/{id}", "public", OneOf("Product", _PATH_ID), path_fields=_PATH),
    Endpoint(
        "GET",
        "/orders",
        "public",
        ListOf("Order", ("status", "customer", "total", "created_at"), ("created_at", "total")),
    ),
    Endpoint(
        "GET", "/orders/{id}", "public", OneOf("Order", _PATH_ID, ("lines",)), path_fields=_PATH
    ),
    Endpoint(
        "POST",
        "/orders",
        "public",
        Action(PLACE_ORDER, Name("order", RowType("Order")), ("lines",)),
        body=ORDER_BODY,
        status=201,
    ),
    Endpoint(
        "POST",
        "/orders/{id}/refund",
        "required",
        Action(
            (
                Update(
                    "Order",
                    both(eq(Column("id", UUID), _PATH_ID), _FULFILLED),
                    (("status", Constant("refunded", STATUS)),),
                    Fail(
                        join(
                            text("order "),
                            _PATH_ID,
                            text(" is not fulfilled, so it cannot be refunded"),
                        )
                    ),
                ),
                Start("refund_order", (("order", _PATH_ID),), into="execution"),
            ),
            Record(
                (("order", _PATH_ID), ("execution", Get(_EXECUTION, "id", UUID))),
                RecordType((Field("order", UUID), Field("execution", UUID))),
            ),
        ),
        roles=("staff",),
        path_fields=_PATH,
        status=202,
    ),
    Endpoint(
        "GET",
        "/customers",
        "required",
        ListOf("Customer", ("email", "name"), ("name", "created_at")),
        roles=("staff",),
    ),
)


def orders() -> Program:
    """The orders example as the checker gives it."""
    return Program(
        name="orders",
        version="1.0.0",
        hash="0" * 64,
        sources=(("app.cai", ""),),
        auth=Auth(Env("JWT_SECRET", None, STRING), *[Constant("backstay", STRING)] * 2),
        entities=(CUSTOMER, PRODUCT, ORDER, LINE, NOTIFICATION, SALES),
        endpoints=ENDPOINTS,
        workflows=(FULFIL, REFUND),
        jobs=(NIGHTLY,),
        integrations=(
            Integration(
                "Payments",
                Env("PAYMENTS_URL", None, STRING),
                (Operation("charge", "POST", "/charges"), Operation("refund", "POST", "/refunds")),
                timeout=2.0,
                breaker=BreakerRule(5, 10.0, 3),
            ),
        ),
    )


def checked_orders() -> Program:
    """The orders example as it stands in the repository, by the checker."""
    file = Path(__file__).parents[2] / "examples" / "orders" / "app.cai"
    found, mistakes = check_text("app.cai", file.read_text(encoding="utf-8"))
    assert found is not None, mistakes
    return found


def program(*entities: Entity, endpoints: tuple[Endpoint, ...] = (), auth: bool = False) -> Program:
    """A small program of these entities alone."""
    return Program(
        name="small",
        version="1.0.0",
        hash="1" * 64,
        sources=(("small.cai", ""),),
        auth=Auth(Constant("secret", STRING)) if auth else None,
        entities=entities,
        endpoints=endpoints,
        workflows=(),
        jobs=(),
        integrations=(),
    )


__all__ = ["Create", "Delete", "If", "Let", "Name", "Statement", "orders", "program", "replace"]

ADD_PRODUCT = (
    Create(
        "Product",
        (
            ("sku", Name("sku", STRING)),
            ("name", Name("sku", STRING)),
            ("price", Name("price", MONEY)),
            ("stock", Name("stock", INT)),
        ),
        "product",
    ),
)
