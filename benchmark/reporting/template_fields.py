"""Checks the fields of a template before it is rendered, in branches that are not taken as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jinja2 import nodes

from benchmark.errors import UserError
from benchmark.reporting.fields import no_field, no_name

_SAME_ELEMENTS = {
    "list", "rejectattr", "reject", "reverse", "select", "selectattr", "sort", "unique"
}  # fmt: skip
_BY_ATTRIBUTE = {"map", "max", "min", "sort", "sum", "unique", "groupby"}
_MOST = 50
"""How many values of a sequence stand for all."""

Samples = tuple[object, ...]
"""Values that an expression can have; empty where nobody knows before rendering."""


class FieldCheck:
    """Follows values of the context through a template, without rendering it.

    Args:
        where: What the template is called.
        context: Name → value.
        known: Names that are there beside it.
        undeclared: Names that the template uses and nobody has given.
    """

    def __init__(
        self,
        where: str,
        context: Mapping[str, object],
        known: Iterable[str],
        undeclared: Iterable[str],
    ) -> None:
        self.where = where
        self.known = known
        self.undeclared = set(undeclared) - set(context) - set(known)
        self.context = context

    def check(self, template: nodes.Template) -> None:
        """Refuses a name that is not given, and a field that no value of its kind has.

        Keys of mappings are left to the rendering: a template may ask whether one is there.

        Raises:
            UserError: The first such name, with its line.
        """
        self._body(template.body, {name: (value,) for name, value in self.context.items()})

    def _body(self, body: Iterable[nodes.Node], names: dict[str, Samples]) -> None:
        for node in body:
            self._statement(node, names)

    def _statement(self, node: nodes.Node, names: dict[str, Samples]) -> None:
        if isinstance(node, nodes.For):
            inner = names | {"loop": ()}
            self._bind(node.target, _elements(self._value(node.iter, names)), inner)
            if node.test is not None:
                self._value(node.test, inner)
            self._body(node.body, inner)
            self._body(node.else_, dict(names))
        elif isinstance(node, nodes.If):
            self._value(node.test, names)
            branches = [dict(names) for _ in range(3)]
            self._body(node.body, branches[0])
            self._body(node.elif_, branches[1])
            self._body(node.else_, branches[2])
            for name in {name for own in branches for name in own}:
                names[name] = _either(*(own[name] for own in branches if name in own))
        elif isinstance(node, nodes.Assign):
            self._bind(node.target, self._value(node.node, names), names)
        elif isinstance(node, nodes.AssignBlock):
            self._body(node.body, dict(names))
            self._bind(node.target, (), names)
        elif isinstance(node, nodes.With):
            inner = dict(names)
            for target, value in zip(node.targets, node.values, strict=True):
                self._bind(target, self._value(value, names), inner)
            self._body(node.body, inner)
        elif isinstance(node, nodes.Macro | nodes.CallBlock):
            if isinstance(node, nodes.Macro):
                names[node.name] = ()
            else:
                self._value(node.call, names)
            given = {argument.name: () for argument in node.args}
            self._body(
                node.body, names | given | dict.fromkeys(("caller", "varargs", "kwargs"), ())
            )
        elif isinstance(node, nodes.Expr):
            self._value(node, names)
        else:
            self._body(node.iter_child_nodes(), names)

    def _bind(self, target: nodes.Node, values: Samples, names: dict[str, Samples]) -> None:
        if isinstance(target, nodes.Name):
            names[target.name] = values
        elif isinstance(target, nodes.Tuple):
            for place, part in enumerate(target.items):
                own = tuple(
                    value[place]
                    for value in values
                    if isinstance(value, tuple | list) and len(value) == len(target.items)
                )
                self._bind(part, own, names)

    def _value(self, node: nodes.Node, names: dict[str, Samples]) -> Samples:
        """What an expression can be; its parts are checked on the way."""
        if isinstance(node, nodes.Name):
            if node.name in self.undeclared and node.name not in names:
                raise self._error(no_name(node.name, "a report", self.context), node)
            return names.get(node.name, ())
        if isinstance(node, nodes.Getattr):
            return self._field(self._value(node.node, names), node.attr, node)
        if isinstance(node, nodes.Filter) and node.node is not None:
            return self._filtered(node, names)
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            self._all(node, names)
            owners = self._value(node.node.node, names)
            return _called(owners, node.node.attr) if not node.args else ()
        if isinstance(node, nodes.Getitem):
            self._value(node.arg, names)
            return _items(self._value(node.node, names), node.arg)
        if isinstance(node, nodes.CondExpr):
            self._value(node.test, names)
            first = self._value(node.expr1, names)
            return _either(first, self._value(node.expr2, names)) if node.expr2 else first
        self._all(node, names)
        return ()

    def _all(self, node: nodes.Node, names: dict[str, Samples]) -> None:
        for child in node.iter_child_nodes():
            self._value(child, names)

    def _filtered(self, node: nodes.Filter, names: dict[str, Samples]) -> Samples:
        values = self._value(node.node, names) if node.node is not None else ()
        for other in (*node.args, *(pair.value for pair in node.kwargs)):
            self._value(other, names)
        if node.name in _BY_ATTRIBUTE | _SAME_ELEMENTS:
            path = _attribute(node)
            found: Samples = _elements(values)
            for name in path.split(".") if path else ():
                found = self._field(found, name, node)
            if node.name == "map" and path:
                return (found,) if found else ()
        if node.name in _SAME_ELEMENTS:
            return values
        return _elements(values) if node.name in ("first", "last", "min", "max") else ()

    def _field(self, owners: Samples, name: str, node: nodes.Node) -> Samples:
        """The field of each owner; an error where they are known and none has it."""
        owners = tuple(owner for owner in owners if owner is not None)
        found: list[object] = []
        for owner in owners:
            try:
                found.append(getattr(owner, name))
            except AttributeError:
                if isinstance(owner, Mapping):
                    found += [owner[name]] if name in owner else []
            except Exception:
                # A property that cannot be read now is rendering's to tell.
                return ()
        if owners and not found and not any(isinstance(owner, Mapping) for owner in owners):
            raise self._error(no_field(name, owners[0]), node)
        return tuple(found)

    def _error(self, text: str, node: nodes.Node) -> UserError:
        return UserError(f"{self.where} line {node.lineno}: {text}")


def _either(*values: Samples) -> Samples:
    """Any of them; where one is not known, the whole is not."""
    return tuple(value for own in values for value in own)[:_MOST] if all(values) else ()


def _elements(values: Samples) -> Samples:
    found: list[object] = []
    for value in values:
        if isinstance(value, Mapping | Sequence | set | frozenset) and not isinstance(value, str):
            found += value
    return tuple(found[:_MOST])


def _called(owners: Samples, name: str) -> Samples:
    """What `items`, `values` and `keys` of mappings give; of anything else nobody knows."""
    maps = [owner for owner in owners if isinstance(owner, Mapping)]
    if name not in ("items", "values", "keys") or not maps:
        return ()
    return tuple(tuple(getattr(owner, name)()) for owner in maps)


def _items(owners: Samples, place: nodes.Node) -> Samples:
    """The entries at a constant place or key; of a mapping with another key, all of them."""
    found: list[object] = []
    for owner in owners:
        if isinstance(owner, Mapping):
            key = place.value if isinstance(place, nodes.Const) else None
            found += [owner[key]] if key in owner else owner.values()
        elif isinstance(owner, tuple | list) and not isinstance(place, nodes.Slice):
            found += owner
        elif isinstance(owner, tuple | list):
            found.append(owner)
    return tuple(found[:_MOST])


def _attribute(node: nodes.Filter) -> str:
    """The name of the field that a filter such as `map(attribute="label")` reads."""
    for pair in node.kwargs:
        if pair.key == "attribute" and isinstance(pair.value, nodes.Const):
            return str(pair.value.value)
    by_place = node.name in ("selectattr", "rejectattr", "groupby")
    if by_place and node.args and isinstance(node.args[0], nodes.Const):
        return str(node.args[0].value)
    return ""
