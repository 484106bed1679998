"""Random workflows under random trouble on virtual time: the process dies, targets lose answers, people
cancel; whatever happens, an execution ends with everything done or with nothing."""

import random
from collections import Counter

import pytest
from tests.app.flow.conftest import Open
from tests.app.flow.payments import BROKEN, BUSY, DECLINE, HANG, HANG_DONE, LOST, OK
from tests.app.flow.scripted import program
from tests.app.flow.stage import ENDED, Stage

from backstay.app.plan.statements import compile_block
from backstay.app.store.session import Session
from backstay.core.errors import Fault
from backstay.lang.program import Constant, Create, ScalarType

MOODS = [OK] * 14 + [LOST, LOST, BROKEN, BUSY, HANG, HANG_DONE, DECLINE]
ITEMS = 3


class Plan:
    """A workflow made by chance, and what it does when all of it is done."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._count = 0
        self.marks: Counter[str] = Counter()
        self.charges: list[str] = []
        stages = [self._stage() for _ in range(chance.randint(2, 5))]
        self.text = f"""
        workflow w {{
          input {{ basket: ref(Basket), required }}
          signals {{ go: bool }}
          retry: {chance.randint(1, 2)} times with fixed_delay(5s)
          steps {{ {" ".join(stages)} }}
        }}
        """

    def _stage(self) -> str:
        if self._chance.random() < 0.4:
            steps = " ".join(self._step() for _ in range(self._chance.randint(2, 3)))
            return f"parallel {{ {steps} }}"
        if self._chance.random() < 0.2:
            self._count += 1
            return f"s{self._count} {{ signal: go timeout: 1h }}"
        return self._step()

    def _step(self) -> str:
        self._count += 1
        name = f"s{self._count}"
        each = self._chance.random() < 0.4
        walk = f"for_each: basket.items parallel: {self._chance.randint(1, 3)}" if each else ""
        if self._chance.random() < 0.5:
            self.marks[name] += ITEMS if each else 1
            make = 'do {{ create Mark {{ at: 0, text: "{}" }} }}'
            undo = make.format(f"un-{name}")
            return f"{name} {{ {walk} {make.format(name)} compensate {{ {undo} }} }}"
        order = f"{name} {{item.name}}" if each else name
        self.charges += [f"{name} n{n}" for n in range(ITEMS)] if each else [name]
        tries = self._chance.randint(1, 4)
        return (
            f'{name} {{ {walk} call: Payments.charge {{ order: "{order}" }}'
            f" retry: {tries} times with fixed_delay(1s)"
            f' compensate {{ call: Payments.refund {{ order: "{order}" }} }} }}'
        )


async def basket(stage: Stage) -> str:
    def make(conn: Session) -> str:
        unit, scope = stage.unit(conn), dict[str, object]()
        compile_block(stage.program, (Create("Basket", (), "made"),))(unit, scope)
        made = str(scope["made"]["id"])  # type: ignore[index]
        for number in range(ITEMS):
            values = (
                ("basket", Constant(made, ScalarType("uuid"))),
                ("name", Constant(f"n{number}", ScalarType("string"))),
                ("amount", Constant(number, ScalarType("int"))),
            )
            compile_block(stage.program, (Create("Item", values),))(unit, {})
        return made

    return await stage.database.write(make)


async def trouble(stage: Stage, execution: str, chance: random.Random) -> None:
    """One thing that happens from outside."""
    what = chance.random()
    if what < 0.25:
        await stage.restart()
    elif what < 0.3:
        try:
            await stage.flow.order(execution, "cancel")
        except Fault as refused:
            assert refused.entry.code == "APP203", refused  # noqa: PT017 - the only one allowed
    elif what < 0.5 and stage._statuses((execution,)) == ["running"]:
        await stage.flow.signal(execution, "go", True)
    await stage.clock.advance(chance.uniform(0.0, 3.0))


@pytest.mark.parametrize(
    "seeds",
    [
        range(12),
        # In parts, since each seed takes a database until its test ends.
        *(
            pytest.param(range(at, at + 97), marks=[pytest.mark.slow, pytest.mark.timeout(600)])
            for at in range(12, 400, 97)
        ),
    ],
)
async def test_random_workflows_end_whole_or_undone(open_stage: Open, seeds: range) -> None:
    ends: Counter[str] = Counter()
    for seed in seeds:
        chance = random.Random(f"workflow {seed}")
        plan = Plan(chance)
        stage = await open_stage(program=program(plan.text))
        stage.payments.faults.extend(chance.choice(MOODS) for _ in range(60))
        stage.payments._conn.execute("DELETE FROM charges").fetchall()
        execution = await stage.start("w", basket=await basket(stage))
        for _ in range(chance.randint(2, 12)):
            await stage.quiet()
            if stage._statuses((execution,))[0] in ENDED:
                break
            await trouble(stage, execution, chance)
        status = await stage.ends(execution)
        ends[status] += 1
        _whole_or_undone(stage, plan, status, f"seed {seed}: {plan.text}")
        await stage.close()
    assert {"completed", "compensated"} <= set(ends), ends


def _whole_or_undone(stage: Stage, plan: Plan, status: str, about: str) -> None:
    marks = Counter(str(text) for (text,) in stage.all("SELECT text FROM marks"))
    left = Counter({name: marks[name] - marks[f"un-{name}"] for name in plan.marks})
    if status == "completed":
        assert left == plan.marks, about
        assert sorted(stage.payments.captured()) == sorted(plan.charges), about
    else:
        assert status in ("compensated", "cancelled", "failed"), about
        assert not +left, about
        assert not any(count < 0 for count in left.values()), about
        assert stage.payments.captured() == [], about
    open_rows = "SELECT count(*) FROM steps WHERE state IN ('pending', 'running')"
    assert stage.one(open_rows) == 0, about
