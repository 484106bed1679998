"""examples/orders/app.cai becomes a Program whose every part is resolved and typed."""

from decimal import Decimal
from typing import Any

import msgspec

from backstay.lang import program as p

STRING, INT, UUID = p.ScalarType("string"), p.ScalarType("int"), p.ScalarType("uuid")
STATUS = p.EnumType(("pending", "reserved", "paid", "packed", "fulfilled", "cancelled", "refunded"))


def named(items: tuple[Any, ...], name: str) -> Any:
    return next(item for item in items if item.name == name)


def endpoint(program: p.Program, method: str, path: str) -> p.Endpoint:
    return next(each for each in program.endpoints if (each.method, each.path) == (method, path))


def test_config_with_auth_from_the_environment(orders: p.Program) -> None:
    assert (orders.name, orders.version) == ("orders", "1.0.0")
    assert orders.auth == p.Auth(
        p.Env("JWT_SECRET", None, STRING),
        p.Constant("backstay", STRING),
        p.Constant("backstay", STRING),
    )


def test_entities_have_tables_keys_and_exact_types(orders: p.Program) -> None:
    tables = {entity.name: entity.table for entity in orders.entities}
    assert tables == {
        "Customer": "customers",
        "Product": "products",
        "Order": "orders",
        "OrderLine": "order_lines",
        "Notification": "notifications",
        "DailySales": "daily_sales",
    }
    assert all(entity.key == "id" for entity in orders.entities)
    product = orders.entity("Product")
    assert named(product.fields, "price") == p.Field(
        "price", p.DecimalType(10, 2), required=True, minimum=Decimal(0)
    )
    assert named(product.fields, "id") == p.Field("id", UUID, primary=True, auto=True)
    assert named(product.fields, "sku").unique
    assert product.indexes == (p.Index(("name",)),)
    order = orders.entity("Order")
    assert named(order.fields, "status") == p.Field(
        "status", STATUS, default=p.Constant("pending", STATUS)
    )
    timestamp = p.ScalarType("timestamp")
    assert named(order.fields, "created_at").default == p.Call("now", (), timestamp)
    assert order.indexes == (p.Index(("status", "created_at")),)


def test_a_list_of_an_entity_finds_its_way_back(orders: p.Program) -> None:
    order = orders.entity("Order")
    assert named(order.fields, "lines").type == p.ManyType("OrderLine", "order")
    assert named(order.fields, "customer").type == p.RefType("Customer")


def test_write_is_create_update_and_delete(orders: p.Program) -> None:
    staff = p.Call("user.has", (p.Constant("staff", STRING),), p.ScalarType("bool"))
    true = p.Constant(True, p.ScalarType("bool"))
    assert orders.entity("Product").access == p.Access(true, staff, staff, staff)
    assert orders.entity("Order").access == p.Access(true, true, staff, None)
    assert orders.entity("Notification").access == p.Access(read=staff)


def test_a_list_endpoint_names_what_may_be_filtered_and_sorted(orders: p.Program) -> None:
    listing = endpoint(orders, "GET", "/orders")
    assert listing.auth == "public"
    assert listing.does == p.ListOf(
        "Order",
        filter=("status", "customer", "total", "created_at"),
        sort=("created_at", "total"),
    )


def test_one_row_is_found_by_the_parameter_of_the_path(orders: p.Program) -> None:
    one = endpoint(orders, "GET", "/orders/{id}")
    fields = (p.Field("id", UUID, required=True),)
    assert one.path_fields == fields
    key = p.Get(p.Name("path", p.RecordType(fields)), "id", UUID)
    assert one.does == p.OneOf("Order", key, include=("lines",))


def test_a_nested_create_and_a_start_are_one_action(orders: p.Program) -> None:
    post = endpoint(orders, "POST", "/orders")
    assert post.status == 201
    assert post.body is not None
    lines = named(post.body.fields, "lines")
    assert (lines.minimum, lines.maximum, lines.required) == (Decimal(1), Decimal(50), True)
    assert isinstance(lines.type, p.ListType)
    assert isinstance(lines.type.item, p.RecordType)
    assert named(lines.type.item.fields, "quantity").maximum == Decimal(100)
    action = post.does
    assert isinstance(action, p.Action)
    create, start = action.body
    assert isinstance(create, p.Create)
    assert (create.entity, create.into) == ("Order", "order")
    values = dict(create.values)
    total, rows = values["total"], values["lines"]
    assert isinstance(total, p.Sum)
    assert isinstance(total.type, p.DecimalType)
    assert total.type.scale == 2
    price = total.value.right  # type: ignore[union-attr]
    assert price.field == "price"
    assert price.of.type == p.RefType("Product")
    assert isinstance(rows, p.Map)
    assert isinstance(rows.value, p.Record)
    assert [name for name, _ in rows.value.fields] == ["product", "quantity", "unit_price"]
    assert isinstance(start, p.Start)
    assert start.workflow == "fulfil_order"
    assert start.input == (("order", p.Get(p.Name("order", p.RowType("Order")), "id", UUID)),)
    assert action.returns == p.Name("order", p.RowType("Order"))
    assert action.include == ("lines",)


def test_a_conditional_update_fails_with_a_text(orders: p.Program) -> None:
    refund = endpoint(orders, "POST", "/orders/{id}/refund")
    assert (refund.auth, refund.roles, refund.status) == ("required", ("staff",), 202)
    action = refund.does
    assert isinstance(action, p.Action)
    update, start = action.body
    assert isinstance(update, p.Update)
    bool_ = p.ScalarType("bool")
    path_id = p.Get(p.Name("path", p.RecordType(refund.path_fields)), "id", UUID)
    assert update.where == p.Binary(
        "and",
        p.Binary("==", p.Column("id", UUID), path_id, bool_),
        p.Binary("==", p.Column("status", STATUS), p.Constant("fulfilled", STATUS), bool_),
        bool_,
    )
    assert update.values == (("status", p.Constant("refunded", STATUS)),)
    text = p.Call(
        "text",
        (
            p.Constant("order ", STRING),
            path_id,
            p.Constant(" is not fulfilled, so it cannot be refunded", STRING),
        ),
        STRING,
    )
    assert update.otherwise == p.Fail(text, 409)
    assert isinstance(start, p.Start)
    assert start.into == "execution"
    returned = dict(action.returns.fields)  # type: ignore[union-attr]
    assert returned["execution"] == p.Get(
        p.Name("execution", p.RecordType((p.Field("id", UUID, True),))), "id", UUID
    )


def test_steps_keep_their_order_work_and_policies(orders: p.Program) -> None:
    workflow = named(orders.workflows, "fulfil_order")
    assert workflow.input == (p.Field("order", p.RefType("Order"), required=True),)
    assert workflow.timeout == 1800.0
    steps = {step.name: step for step in workflow.steps}
    assert list(steps) == ["reserve", "charge", "paid", "pack", "notify"]
    charge = steps["charge"]
    assert charge.timeout == 2.0
    assert charge.retry == p.Retry(4, "exponential", 0.2, 2.0)
    assert isinstance(charge.work, p.CallStep)
    assert (charge.work.integration, charge.work.operation) == ("Payments", "charge")
    assert [name for name, _ in charge.work.args] == ["order", "amount", "currency"]
    assert isinstance(charge.compensate, p.CallStep)
    assert charge.compensate.operation == "refund"
    pack = steps["pack"]
    assert isinstance(pack.work, p.TaskStep)
    assert (pack.work.command, pack.timeout) == ("PACK_ORDER", 600.0)
    assert pack.retry == p.Retry(3, "exponential", 1.0, 30.0)
    assert steps["paid"].retry == p.Retry()
    assert steps["paid"].compensate is None


def test_reserving_and_its_compensation_walk_the_lines(orders: p.Program) -> None:
    reserve = named(orders.workflows, "fulfil_order").steps[0]
    assert isinstance(reserve.work, p.DoStep)
    loop = reserve.work.body[0]
    assert isinstance(loop, p.For)
    order = p.Name("order", p.RefType("Order"))
    assert loop.items == p.Get(order, "lines", p.ManyType("OrderLine", "order"))
    update = loop.body[0]
    assert isinstance(update, p.Update)
    line = p.Name("line", p.RowType("OrderLine"))
    taken = p.Binary("-", p.Column("stock", INT), p.Get(line, "quantity", INT), INT)
    assert update.values == (("stock", taken),)
    assert isinstance(reserve.compensate, p.DoStep)
    back = reserve.compensate.body[0]
    assert isinstance(back, p.For)
    assert back.body[0].values[0][1].op == "+"  # type: ignore[union-attr]


def test_a_later_step_reads_the_output_of_an_earlier_one(orders: p.Program) -> None:
    notify = named(orders.workflows, "fulfil_order").steps[4]
    update = notify.work.body[0]
    parcel = dict(update.values)["parcel"]
    assert isinstance(parcel.type, p.UnknownType)
    assert (parcel.field, parcel.of.field, parcel.of.of.name) == ("parcel", "pack", "steps")


def test_on_fail_is_database_work(orders: p.Program) -> None:
    workflow = named(orders.workflows, "fulfil_order")
    cancel = workflow.on_fail[0]
    assert isinstance(cancel, p.Update)
    assert cancel.values == (("status", p.Constant("cancelled", STATUS)),)


def test_the_integration_has_its_breaker_in_seconds(orders: p.Program) -> None:
    payments = named(orders.integrations, "Payments")
    assert payments.base_url == p.Env("PAYMENTS_URL", None, STRING)
    assert payments.timeout == 2.0
    assert payments.breaker == p.BreakerRule(5, 10.0, 3)
    assert payments.operations == (
        p.Operation("charge", "POST", "/charges"),
        p.Operation("refund", "POST", "/refunds"),
    )


def test_the_job_counts_and_sums(orders: p.Program) -> None:
    job = named(orders.jobs, "nightly_sales")
    assert (job.schedule, job.timezone) == ("15 2 * * *", "Europe/Berlin")
    values = dict(job.body[0].values)
    assert (values["orders"].op, values["orders"].entity, values["orders"].type) == (
        "count",
        "Order",
        INT,
    )
    assert (values["revenue"].op, values["revenue"].field) == ("sum", "total")
    assert values["revenue"].type == p.DecimalType(12, 2)


def test_the_program_survives_as_json(orders: p.Program) -> None:
    """A replica must be able to keep and compare programs."""
    encoded = msgspec.json.encode(orders)
    assert msgspec.json.decode(encoded, type=dict)["hash"] == orders.hash
    assert len(orders.hash) == 64
