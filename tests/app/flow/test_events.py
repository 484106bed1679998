"""Events through a real server process: published if and only if the emitter's transaction is,
heard exactly once, and brought to webhooks until they take them."""

import pytest
from tests.app.flow.conftest import Serve
from tests.app.flow.receiver import Receiver

from backstay.app.flow.webhooks import DELIVERY, SIGNATURE, TIMESTAMP
from backstay.core.signing import verify

BASE = """
config { name: "events" }

entity Order {
  id: uuid, primary, auto
  total: decimal(10, 2), required
}

entity Note {
  id: uuid, primary, auto
  order: ref(Order), required
  text: string, required
}

event order_placed {
  payload { order: ref(Order), required, total: decimal(10, 2), required }
}
"""

PLACE = """
endpoint POST /orders {
  auth: public
  body { total: decimal(10, 2), required, fail: bool, default(false) }
  do {
    let order = create Order { total: body.total }
    emit order_placed { order: order.id, total: order.total }
    if body.fail { fail 409 "no" }
    return order
  }
  status: 201
}
"""

HEARD = """
workflow note_it {
  trigger: order_placed
  steps {
    write { do { create Note { order: event.order, text: "total {total}" } } }
  }
}
"""


async def test_an_event_starts_the_workflow_that_listens_once(serve: Serve) -> None:
    live = await serve(BASE + PLACE + HEARD)
    status, order = await live.ask("POST", "/orders", {"total": "12.50"})
    assert status == 201, order
    (execution,) = (await live.get("/executions"))["data"]
    ended = await live.ended(execution["id"])

    assert ended["status"] == "completed"
    assert live.rows('SELECT "order", text FROM notes') == [(order["id"], "total 12.50")]
    (event,) = (await live.get("/events"))["data"]
    assert (event["event"], event["payload"]) == (
        "order_placed",
        {"order": order["id"], "total": "12.50"},
    )
    (delivery,) = (await live.get(f"/events/{event['id']}"))["deliveries"]
    assert delivery["target"] == "workflow:note_it"
    assert (delivery["state"], delivery["execution"]) == ("done", execution["id"])


async def test_an_event_of_a_transaction_that_fails_never_was(serve: Serve) -> None:
    live = await serve(BASE + PLACE + HEARD)
    status, _ = await live.ask("POST", "/orders", {"total": "1.00", "fail": True})
    assert status == 409
    assert (await live.get("/events"))["data"] == []
    assert (await live.get("/executions"))["data"] == []


async def test_handlers_start_workflows_and_follow_with_other_events(serve: Serve) -> None:
    live = await serve(
        BASE
        + PLACE
        + """
        event told { payload { order: ref(Order), required } }
        workflow tell {
          input { order: ref(Order), required }
          steps { say { do { create Note { order: order.id, text: "told" } } } }
        }
        workflow after {
          trigger: told
          steps { say { do { create Note { order: event.order, text: "after" } } } }
        }
        on "order_placed" do workflow "tell" async
        on "order_placed" do emit "told"
        """
    )
    assert (await live.ask("POST", "/orders", {"total": "1.00"}))[0] == 201

    async def both() -> bool:
        return len(live.rows("SELECT text FROM notes")) == 2

    await live.eventually(both)
    assert sorted(live.rows("SELECT text FROM notes")) == [("after",), ("told",)]
    events = (await live.get("/events"))["data"]
    placed, told = sorted(events, key=lambda event: event["event"])
    assert told["cause"] == placed["id"]


async def test_on_success_fills_the_event_from_the_answer_and_the_request(serve: Serve) -> None:
    live = await serve(
        BASE
        + """
        endpoint POST /orders/{reason} {
          auth: public
          path { reason: string }
          body { total: decimal(10, 2), required }
          on_success: emit(why)
          do { return create_it }
        }
        event why { payload { order: ref(Order), required, reason: string, total: decimal(10,2) } }
        """.replace(
            "do { return create_it }",
            "do { let o = create Order { total: body.total }\n return o }",
        )
    )
    status, order = await live.ask("POST", "/orders/gift", {"total": "3.00"})
    assert status == 200, order
    (event,) = (await live.get("/events"))["data"]
    assert event["payload"] == {"order": order["id"], "reason": "gift", "total": "3.00"}


async def test_a_listener_that_the_payload_cannot_fill_is_refused_at_the_load(serve: Serve) -> None:
    broken = """
    workflow wants_more {
      trigger: order_placed
      input { colour: string, required }
      steps { s { do { } } }
    }
    """
    with pytest.raises(AssertionError, match="event order_placed gives no 'colour'"):
        await serve(BASE + PLACE + broken)


async def test_emits_that_lead_in_a_circle_are_refused_at_the_load(serve: Serve) -> None:
    circle = """
    event back { payload { order: ref(Order), required, total: decimal(10, 2), required } }
    on "order_placed" do emit "back"
    on "back" do emit "order_placed"
    """
    with pytest.raises(AssertionError, match="an emit leads back"):
        await serve(BASE + PLACE + circle)


HOOK = """
webhook shop {
  event "order_placed"
  url env("HOOK_URL")
  secret: env("HOOK_SECRET")
  headers { "X-From": "app" }
  retry: 4 times with fixed_delay(50ms)
}
"""


async def test_a_webhook_is_signed_and_tried_until_it_is_taken(
    serve: Serve, receiver: Receiver
) -> None:
    receiver.answers.extend([500, 302])
    env = {"HOOK_URL": f"{receiver.url}/in", "HOOK_SECRET": "hush-hush"}
    live = await serve(BASE + PLACE + HOOK, **env)
    assert (await live.ask("POST", "/orders", {"total": "7.00"}))[0] == 201
    (event,) = (await live.get("/events"))["data"]

    async def delivered() -> bool:
        return (await live.get("/events"))["data"][0]["deliveries"] == {"done": 1}

    await live.eventually(delivered)
    first, _, last = receiver.got
    assert first.body == last.body
    assert first.headers[DELIVERY] == last.headers[DELIVERY]
    assert last.headers["X-From"] == "app"
    assert last.json() == {
        "id": event["id"],
        "event": "order_placed",
        "created_at": event["created_at"],
        "payload": event["payload"],
    }
    stamp = last.headers[TIMESTAMP]
    assert verify("hush-hush", stamp, last.body, last.headers[SIGNATURE], float(stamp))
    assert not verify("other", stamp, last.body, last.headers[SIGNATURE], float(stamp))
    (delivery,) = (await live.get(f"/events/{event['id']}"))["deliveries"]
    outcomes = [(tried["attempt"], tried["outcome"]) for tried in delivery["attempts"]]
    assert outcomes == [(1, "unknown"), (2, "failed"), (3, "done")]
    assert "hush-hush" not in live.log()


async def test_a_delivery_survives_the_death_of_the_process_and_keeps_its_id(
    serve: Serve, receiver: Receiver
) -> None:
    receiver.answers.append(0)
    live = await serve(BASE + PLACE + HOOK, HOOK_URL=receiver.url, HOOK_SECRET="s3cret-s3cret")
    assert (await live.ask("POST", "/orders", {"total": "7.00"}))[0] == 201

    async def under_way() -> bool:
        return bool(receiver.got)

    await live.eventually(under_way)
    await live.kill()
    receiver.release.set()
    await live.start()

    async def delivered() -> bool:
        return (await live.get("/events"))["data"][0]["deliveries"] == {"done": 1}

    await live.eventually(delivered)
    assert len(receiver.got) == 2
    assert len({got.headers[DELIVERY] for got in receiver.got}) == 1


async def test_a_delivery_that_was_given_up_is_seen_and_replayed(
    serve: Serve, receiver: Receiver
) -> None:
    receiver.answers.extend([503] * 4)
    live = await serve(BASE + PLACE + HOOK + HEARD, HOOK_URL=receiver.url, HOOK_SECRET="x" * 12)
    assert (await live.ask("POST", "/orders", {"total": "7.00"}))[0] == 201

    async def given_up() -> bool:
        return bool((await live.get("/events?state=failed"))["data"])

    await live.eventually(given_up)
    (event,) = (await live.get("/events?state=failed&event=order_placed"))["data"]
    assert "an event was not delivered" in live.log()

    status, said = await live.ask("POST", f"/events/{event['id']}/replay")
    assert (status, said["targets"]) == (202, ["webhook:shop"])

    async def taken() -> bool:
        found = (await live.get(f"/events/{event['id']}"))["deliveries"]
        return [d["run"] for d in found if d["state"] == "done" and "webhook" in d["target"]] == [2]

    await live.eventually(taken)
    assert len((await live.get("/executions"))["data"]) == 1
    status, _ = await live.ask("POST", f"/events/{event['id']}/replay?target=workflow:note_it")
    assert status == 202
    assert len((await live.get("/executions"))["data"]) == 2
    status, problem = await live.ask("POST", f"/events/{event['id']}/replay?target=webhook:other")
    assert (status, problem["code"]) == (404, "APP218")
    assert (await live.ask("POST", "/events/nope/replay"))[1]["code"] == "APP217"


async def test_an_event_goes_out_only_when_its_own_condition_holds(
    serve: Serve, receiver: Receiver
) -> None:
    live = await serve(
        BASE.replace(
            "total: decimal(10, 2), required }\n}\n",
            'total: decimal(10, 2), required }\n  publish_to: [webhook("other")]\n'
            "  trigger: when total > 10\n}\n",
        )
        + PLACE
        + 'event never { }\nwebhook other { event "never" url env("HOOK_URL") }\n',
        HOOK_URL=receiver.url,
    )
    for total in ("5.00", "15.00"):
        assert (await live.ask("POST", "/orders", {"total": total}))[0] == 201

    async def one() -> bool:
        return len(receiver.got) == 1

    await live.eventually(one)
    assert receiver.got[0].json()["payload"]["total"] == "15.00"  # type: ignore[index]
    assert live.rows("SELECT count(*) FROM backstay_deliveries") == [(1,)]


async def test_an_event_is_handed_to_an_integration_under_one_key(
    serve: Serve, receiver: Receiver
) -> None:
    receiver.answers.append(500)
    live = await serve(
        BASE
        + PLACE
        + """
        integration Crm {
          type: rest
          base_url: env("CRM_URL")
          retry: 3 times with fixed_delay(20ms)
          operation placed { method: POST, path: "/placed" }
        }
        on "order_placed" do integration "Crm.placed"
        """,
        CRM_URL=receiver.url,
    )
    _, order = await live.ask("POST", "/orders", {"total": "7.00"})

    async def twice() -> bool:
        return len(receiver.got) == 2

    await live.eventually(twice)
    assert receiver.got[1].json() == {"order": order["id"], "total": "7.00"}
    assert len({got.headers["Idempotency-Key"] for got in receiver.got}) == 1


async def test_an_event_published_by_hand_is_checked_against_its_payload(serve: Serve) -> None:
    live = await serve(BASE + PLACE + HEARD)
    _, order = await live.ask("POST", "/orders", {"total": "1.00"})
    given = {"event": "order_placed", "payload": {"order": order["id"], "total": "2.00"}}
    status, said = await live.ask("POST", "/events", given)
    assert status == 202, said
    status, problem = await live.ask(
        "POST", "/events", {"event": "order_placed", "payload": {"total": "many"}}
    )
    assert (status, problem["code"]) == (422, "APP011")
    status, problem = await live.ask("POST", "/events", {"event": "nothing"})
    assert (status, problem["code"]) == (404, "APP215")
    assert len((await live.get("/events"))["data"]) == 2


async def test_events_of_the_world_outside_start_old_workflows(serve: Serve) -> None:
    live = await serve(
        BASE
        + """
        workflow greet {
          trigger event "user.created"
          steps { write { do { create Order { total: 1 } } } }
        }
        """
    )
    given = {"event": "user.created", "payload": {"name": "Ada", "tags": [1, 2]}}
    assert (await live.ask("POST", "/events", given))[0] == 202
    (execution,) = (await live.get("/executions"))["data"]
    ended = await live.ended(execution["id"])
    assert (ended["status"], ended["input"]) == ("completed", {"event": given["payload"]})
