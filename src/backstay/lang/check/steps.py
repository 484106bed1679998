"""Steps of a workflow or a job: their work, and what undoes it."""

from collections import ChainMap
from collections.abc import Collection, Iterator, MutableMapping

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import act, check, emitted
from backstay.lang.check.blocks import Members
from backstay.lang.check.expressions import condition, declare, lower, record, steps_named
from backstay.lang.check.graph import surely_fails
from backstay.lang.check.reactions import on_empty, on_fail, on_success
from backstay.lang.check.retries import any_retry, retry_of
from backstay.lang.check.scope import Ran, Scope
from backstay.lang.check.statements import Bodies
from backstay.lang.check.truth import conjuncts, truth
from backstay.lang.check.types import STRING, UNKNOWN, item_of, show
from backstay.lang.check.world import Checker, find_event
from backstay.lang.diagnostics import Edit, Related
from backstay.lang.names import listed, suggestion
from backstay.lang.parser import grammar

_WORK = ("do", "call", "task", "action", "send", "emit", "query", "signal", "activity")


_OPTIONS = ("input", "template", "data", "subject", "attachment", "format", "parallel")


class Steps:
    """The steps of a workflow or of a job. `spans` are the places of their names."""

    def __init__(self, k: Checker, scope: Scope, signals: Collection[str] = ()) -> None:
        self.k = k
        self.scope = scope
        self.spans: dict[str, s.Range] = {}
        self._gives: p.Type = UNKNOWN
        self._parts: frozenset[p.Expr] = frozenset()
        self.signals = signals

    def all(self, block: s.Block) -> tuple[p.Step, ...]:
        """The steps of the outermost block."""
        self.scope.later = frozenset(_names(block))
        return self._steps(block, {})

    def _steps(self, block: s.Block, outputs: MutableMapping[str, Ran]) -> tuple[p.Step, ...]:
        """Steps in order. `outputs` are those of the steps before; it is added to."""
        found: list[p.Step] = []
        for member in block.members:
            made = self._member(member, outputs)
            if made is None:
                continue
            if found and surely_fails(found[-1]):
                self._unreachable(member.name, found[-1])
            found.append(made)
        return tuple(found)

    def _member(self, member: s.Member, outputs: MutableMapping[str, Ran]) -> p.Step | None:
        name, block = member.name, member.value
        together = name.name == "parallel" and isinstance(block, s.Block)
        if together and isinstance(block, s.Block) and not _is_step(block):
            return self._parallel(name, block, outputs)
        if name.name in outputs:
            self.k.error(e.DUPLICATE_DECLARATION, name.span, name=name.name)
        self.spans[name.name] = name.span
        step = None
        self._gives, self._parts = UNKNOWN, frozenset()
        if isinstance(block, s.Block):
            self.scope.outputs = outputs
            step = self._step(name, block)
        names = [each.name.name for each in getattr(block, "members", ())]
        gives = None if "do" in names else self._gives
        outputs[name.name] = Ran(gives, self._parts if step else frozenset())
        return step

    def _unreachable(self, name: s.Ident, after: p.Step) -> None:
        span = self.spans.get(after.name)
        says = "this step always fails"
        related = (Related(self.k.reports.at(span), says),) if span else ()
        self.k.error(e.UNREACHABLE, name.span, related=related, name=name.name)

    def _parallel(self, name: s.Ident, block: s.Block, outputs: MutableMapping[str, Ran]) -> p.Step:
        """Steps side by side do not see each other."""
        found: list[p.Step] = []
        beside: dict[str, Ran] = {}
        for member in block.members:
            mine: dict[str, Ran] = {}
            made = self._member(member, ChainMap(mine, outputs))
            found += [made] if made else []
            if member.name.name in beside:
                self.k.error(e.DUPLICATE_DECLARATION, member.name.span, name=member.name.name)
            beside |= mine
        outputs.update(beside)
        return p.Step(name.name, p.ParallelStep(tuple(found)))

    def _step(self, name: s.Ident, block: s.Block) -> p.Step | None:
        members = Members(self.k, block)
        retry = members.value("retry", s.RetryNode)
        outer = self.scope
        self.scope = Scope(outer)
        each = self._for_each(members)
        # The condition of a step for each item is one for each item, too.
        when = self._when(members)
        # Those ran that it asks about, and those whose own condition is a part of this one's.
        self.scope.held = steps_named(when)
        self.scope.parts = self._parts = frozenset(conjuncts(when))
        checks = members.value("check", s.CheckNode)
        checked = check(self.k, checks, self.scope) if checks else None
        work = self._work(members, name.span, f"step '{name.name}'", checks=checked is not None)
        found = self._gives
        gives = found if each is None else UNKNOWN
        undo = self._undo(members)
        made = p.Step(
            name=name.name,
            work=work or p.DoStep(()),
            when=when,
            timeout=members.seconds("timeout", 0.0),
            retry=any_retry(self.k, members) or retry_of(self.k, retry),
            compensate=undo,
            for_each=each,
            check=checked,
            into=self._into(members, outer, gives),
            options=self._options(members),
            on_success=on_success(self.k, members, self.scope),
            on_fail=on_fail(self.k, members, self.scope),
            on_empty=on_empty(self.k, members, found, self.scope),
        )
        self._gives = gives
        self._says_something(name, made, members)
        self.scope = outer
        return made if work else None

    def _when(self, members: Members) -> p.Expr | None:
        """A condition may ask about steps that did not run: it is then null and does not hold."""
        node = members.expression("when")
        if node is None:
            return None
        inner = Scope(self.scope)
        inner.asks = True
        return condition(self.k, node, inner, "when")

    def _for_each(self, members: Members) -> p.Expr | None:
        """The list whose entries are `item`, or have the name after `as`, in this step."""
        node = members.expression("for_each")
        if node is None:
            return None
        items = lower(self.k, node, self.scope)
        kind = item_of(items.type)
        if kind is None:
            self.k.error(e.NOT_ITERABLE, node.span, type=show(items.type))
        self.scope.variables["item"] = kind or UNKNOWN
        self.scope.variables["index"] = p.ScalarType("int")
        name = members.value("as", s.Ident)
        if name is not None:
            self.scope.variables[name.name] = kind or UNKNOWN
        return items

    def _into(self, members: Members, outer: Scope, gives: p.Type) -> str:
        name = members.value("as", s.Ident)
        if name is None:
            return ""
        if "for_each" not in members:
            declare(self.k, outer, name, gives, "variable")
        return name.name

    def _options(self, members: Members) -> tuple[tuple[str, p.Expr], ...]:
        found = []
        for name in _OPTIONS:
            node = members.expression(name)
            if isinstance(node, s.RecordExpr):
                found += [(f"{name}.{n}", v) for n, v in self._inputs(node)]
            elif isinstance(node, s.NameExpr) and self.scope.find(node.name) is None:
                found.append((name, p.Constant(node.name, STRING)))
            elif node is not None:
                found.append((name, lower(self.k, node, self.scope)))
        old = members.expression("if")
        if old is not None:
            found.append(("if", lower(self.k, old, self.scope)))
        return tuple(found)

    def _inputs(self, node: s.RecordExpr) -> list[tuple[str, p.Expr]]:
        """Old inputs are paths in quotes; they are kept as they are written."""
        return [(each.name.name, lower(self.k, each.value, self.scope)) for each in node.fields]

    def _undo(self, members: Members) -> p.Work | None:
        member = members.member("compensate")
        match member.value if member else None:
            case s.Block() as block if member is not None:
                undo = self._work(Members(self.k, block), member.name.span, "compensate")
                if undo is not None and _only_reads(undo):
                    what = "a query that only reads undoes nothing"
                    fix = "write an update or a delete, or do { … }"
                    self.k.error(e.BAD_SETTING, member.name.span, what=what, fix=fix)
                return undo
            case s.ActionNode() as node:
                return p.ActStep("action", act(self.k, node, self.scope))
        return None

    def _says_something(self, name: s.Ident, made: p.Step, members: Members) -> None:
        """Steps that never run, and compensations with nothing behind them."""
        if made.when is not None and truth(made.when) is False:
            self.k.error(e.UNREACHABLE, name.span, name=name.name)
        undoes = made.compensate is not None
        if undoes and (_only_reads(made.work) or surely_fails(made)):
            member = members.member("compensate")
            span = member.name.span if member else name.span
            whole = (
                Edit("remove compensate", self.k.reports.at(member.span), "") if member else None
            )
            self.k.error(e.USELESS_COMPENSATION, span, edit=whole, name=name.name)

    def _work(
        self, members: Members, span: s.Range, owner: str, *, checks: bool = False
    ) -> p.Work | None:
        given = [name for name in _WORK if name in members]
        if not given and checks:
            return p.NoWork()
        if not given:
            example = "write do { … }, call: Integration.operation { … } or task: COMMAND { … }"
            members.missing("do', 'call' or 'task", owner, span, example)
            return None
        for name in given[1:]:
            member = members.member(name)
            if member is not None:
                what = f"{owner} has both '{given[0]}' and '{name}'"
                self.k.error(e.WORK_COUNT, member.name.span, what=what)
        member = members.member(given[0])
        return self._work_of(given[0], member.value) if member else None

    def _work_of(self, verb: str, node: s.Value) -> p.Work | None:
        match node:
            case s.Body() as body:
                return p.DoStep(Bodies(self.k).body(body, self.scope))
            case s.CallNode() as call:
                return self._call(call)
            case s.TaskNode(command=command, payload=payload):
                return p.TaskStep(command.name, record(self.k, payload, self.scope))
            case s.ActionNode():
                made = act(self.k, node, self.scope)
                return p.ActStep("send" if verb == "send" else "action", made)
            case s.EmitNode():
                return p.EmitStep(emitted(self.k, node, self.scope))
            case s.QueryNode(text=text):
                # The query language is read when a program has a query.
                from backstay.lang.check.queries import query

                self._gives = query(self.k, node, self.scope)
                return p.QueryStep(text)
            case s.Ident(name=signal):
                return self._signal(node, signal)
            case s.Literal_(value=value):
                return p.ActStep("activity", p.Act(str(value)))
        return None

    def _signal(self, node: s.Ident, name: str) -> p.SignalStep:
        """What is waited for: a signal that the workflow declares, or an event of the program."""
        k, event = self.k, find_event(self.k.world, name)
        if event is not None:
            k.use("event", event.name)
        elif name not in self.signals:
            known = (*self.signals, *k.world.events)
            edit = suggestion(name, known, k.reports.at(node.span))
            what = f"unknown signal '{name}'"
            k.error(e.UNKNOWN_NAMED, node.span, edit=edit, what=what, known=listed(known))
        return p.SignalStep(name)

    def _call(self, node: s.CallNode) -> p.CallStep:
        k = self.k
        args: dict[str, p.Expr] = {}
        for entry in node.args:
            if entry.name.name in args:
                k.error(e.DUPLICATE_MEMBER, entry.name.span, name=entry.name.name)
            args[entry.name.name] = lower(k, entry.value, self.scope)
        info = k.world.integrations.get(node.integration.name)
        k.use("integration", node.integration.name)
        if info is None:
            if not k.world.incomplete:
                k.unknown(e.UNKNOWN_INTEGRATION, node.integration, k.world.integrations)
        elif node.operation.name not in info.operations:
            if not info.broken:
                k.unknown(
                    e.UNKNOWN_OPERATION, node.operation, info.operations, integration=info.name
                )
        else:
            for hole in holes(info.operations[node.operation.name].path):
                if hole not in args:
                    owner = f"call {info.name}.{node.operation.name}"
                    k.error(e.MISSING_VALUE, node.operation.span, owner=owner, name=hole)
        return p.CallStep(node.integration.name, node.operation.name, tuple(args.items()))


def _names(block: s.Block) -> Iterator[str]:
    """The names of all steps, those of parallel blocks among them."""
    for member in block.members:
        yield member.name.name
        inner = member.value
        if isinstance(inner, s.Block) and member.name.name == "parallel" and not _is_step(inner):
            yield from _names(inner)


def _only_reads(work: p.Work) -> bool:
    """Whether the work leaves everything as it was."""
    if isinstance(work, p.QueryStep):
        return not work.text.lstrip().lower().startswith(("update", "delete"))
    return isinstance(work, p.NoWork)


def _is_step(block: s.Block) -> bool:
    """Whether a block named `parallel` is a step of that name."""
    return any(each.name.name in grammar.BLOCKS["step"] for each in block.members)


def holes(path: str) -> list[str]:
    """Names in braces of a path."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{") and part.endswith("}")]
