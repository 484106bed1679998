"""A dry run of a workflow: what it would do to this database now; nothing is kept, nothing sent.

Steps in the database are really run, in a transaction that is taken back; what would leave the
process is written down with its payload, and gives nothing to the steps after it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from backstay.app.flow.empty import nothing
from backstay.app.flow.guarded import Refused, inside
from backstay.app.flow.plans import StepPlan, WorkflowPlan
from backstay.app.flow.turn import Turn
from backstay.app.plan.operators import truth
from backstay.app.plan.unit import Unit

MOST_SHOWN = 20
"""Items of a for_each that a report shows."""


class Rehearsed(Exception):  # noqa: N818 - takes the transaction back and carries the report out
    """The report of a rehearsal."""

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__("rehearsed")
        self.report = report


class Rehearsal:
    """One dry run, inside a write transaction that its caller takes back."""

    def __init__(self, turn: Turn, plan: WorkflowPlan, text: str) -> None:
        self._turn = turn
        self._plan = plan
        self._given = plan.input.parse(text)
        self._outputs: dict[str, object] = dict.fromkeys(step.name for step in plan.steps)
        self._told: list[dict[str, str]] = []
        self._done: list[StepPlan] = []
        self._stop = plan.closing

    def run(self) -> dict[str, Any]:
        """What would happen, step by step, up to the first one that would fail."""
        shown: list[dict[str, Any]] = []
        error = ""
        for step in self._plan.steps:
            if self._stop < step.stage < self._plan.closing:
                shown.append({"step": step.name, "does": "left out: there was nothing to do"})
                continue
            for found in self._step(step):
                shown.append(found)
                error = str(found.get("error", ""))
                if error:
                    break
            if error:
                break
            self._done.append(step)
        undone = [step for step in reversed(self._done) if step.undo is not None] if error else []
        return {
            "workflow": self._plan.name,
            "steps": shown,
            "ends": "failed" if error else "completed",
            "error": error,
            "compensations": [{"step": s.name, "does": s.undo.says} for s in undone if s.undo],
        }

    def _step(self, step: StepPlan) -> Iterator[dict[str, Any]]:
        scope = self._scope()
        each = step.each
        if each is None:
            yield self._one(step, scope, {"step": step.name})
            return
        try:
            found = inside(self._turn, lambda: each.items(self._unit(), scope))
        except Refused as refused:
            yield {"step": step.name, "does": "for_each", "error": refused.text}
            return
        items = list(found) if isinstance(found, list | tuple) else []
        for place, item in enumerate(items[:MOST_SHOWN]):
            inner = scope | {name: place if name == "index" else item for name in each.names}
            yield self._one(step, inner, {"step": step.name, "item": place})
        if len(items) > MOST_SHOWN or not items:
            shown = {"step": step.name, "does": f"for_each over {len(items)} items"}
            yield shown if items else self._emptied(step, scope, shown)

    def _one(
        self, step: StepPlan, scope: dict[str, object], shown: dict[str, Any]
    ) -> dict[str, Any]:
        shown["does"] = step.work.says
        if step.undo is not None:
            shown["compensation"] = step.undo.says
        try:
            if step.when is not None and not self._holds(step.when, scope):
                return {**shown, "does": "skipped: its `when` is false"}
            check = step.check
            if check is not None and not self._holds(check.holds, scope):
                message = inside(self._turn, lambda: check.message(self._unit(), scope))
                return {**shown, "error": message}
            shown |= self._work(step, scope) if not self._nothing(step, scope) else {"output": None}
        except Refused as refused:
            return {**shown, "error": refused.text}
        if step.each is None and nothing(msgspec.json.encode(shown.get("output", 0)).decode()):
            return self._emptied(step, scope, shown)
        return shown

    def _nothing(self, step: StepPlan, scope: dict[str, object]) -> bool:
        data = step.on_empty.before if step.on_empty is not None else None
        return data is not None and not inside(self._turn, lambda: data(self._unit(), scope))

    def _emptied(
        self, step: StepPlan, scope: dict[str, object], shown: dict[str, Any]
    ) -> dict[str, Any]:
        """What the step says about a list without items, or a query without rows."""
        said = step.on_empty
        if said is None:
            return shown
        self._told = []
        deed, message = said.deed, said.message
        try:
            if deed is not None:
                inside(self._turn, lambda: deed(self._unit(), scope))
            if message is not None:
                return {**shown, "error": inside(self._turn, lambda: message(self._unit(), scope))}
        except Refused as refused:
            return {**shown, "error": refused.text}
        if said.leaves:
            self._stop = min(self._stop, step.stage)
        return {**shown, "begins": self._told} if self._told else shown

    def _work(self, step: StepPlan, scope: dict[str, object]) -> dict[str, Any]:
        work, self._told = step.work, []
        if work.block is not None:
            block = work.block
            inside(self._turn, lambda: block(self._unit(), scope))
        if work.answer is not None:
            answer = work.answer
            text = inside(self._turn, lambda: answer(self._unit(), scope))
            self._outputs[step.name] = msgspec.json.decode(text)
            return {"output": self._outputs[step.name]}
        if work.payload is not None:
            payload = work.payload
            text = inside(self._turn, lambda: payload(self._unit(), scope))
            return {"payload": msgspec.json.decode(text)}
        return {"begins": self._told} if self._told else {}

    def _holds(self, test: Callable[[Unit, Mapping[str, object]], object], scope: Any) -> bool:
        return truth(inside(self._turn, lambda: test(self._unit(), scope)))

    def _scope(self) -> dict[str, object]:
        named = {step.into: self._outputs[step.name] for step in self._plan.steps if step.into}
        return {**self._given, **named, "steps": dict(self._outputs)}

    def _unit(self) -> Unit:
        """As a step has it, but what it begins is only told."""

        def start(unit: Unit, workflow: str, input: Mapping[str, object]) -> str:  # noqa: ARG001
            self._told.append({"start": workflow})
            return unit.ids.new()

        def emit(unit: Unit, event: str, values: Mapping[str, object]) -> str:  # noqa: ARG001
            self._told.append({"emit": event})
            return unit.ids.new()

        turn, ground = self._turn, self._turn.ground
        now = round(turn.now * 1_000_000)
        dice = ground.dice
        return Unit(turn.conn, now, ground.ids, ground.env, start=start, emit=emit, dice=dice)
