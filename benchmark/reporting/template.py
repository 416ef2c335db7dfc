"""Renders the Markdown template of a report; its fields and numbers are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NoReturn

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from benchmark.errors import UserError, unknown
from benchmark.reporting.fields import described, no_field
from benchmark.reporting.markdown import Markdown, Place, escape
from benchmark.reporting.number_filters import FILTERS, MISSING, missing
from benchmark.reporting.template_fields import FieldCheck
from benchmark.reporting.template_literals import check_literals
from benchmark.reporting.template_text import check_numbers, places, skeleton

_ALONE = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)
_UNSAFE_FILTERS = (
    "attr", "e", "escape", "filesizeformat", "forceescape", "pprint", "random", "safe", "tojson",
    "urlize", "xmlattr",
)  # fmt: skip
"""Filters of HTML, of other ways to write numbers, and of chance."""
_IN_PLACE = "as_written_in_"


class _Field(StrictUndefined):
    """A field that a value has not: using it is an error that names the fields it has."""

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint or not isinstance(self._undefined_name, str | int):
            return super()._undefined_message
        return no_field(self._undefined_name, self._undefined_obj)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja without loader, chance and HTML.

    What a macro or a block gives is Markdown, since its parts have been escaped.
    """

    concat = staticmethod(lambda parts: Markdown("".join(parts)))

    def __init__(self) -> None:
        super().__init__(
            undefined=_Field,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            finalize=_written,
        )
        self.filters |= {name: _of_field(own) for name, own in FILTERS.items()}
        self.filters["cell"] = _written
        self.filters |= {_IN_PLACE + place.name: _writer(place) for place in Place}
        for name in _UNSAFE_FILTERS:
            self.filters.pop(name, None)
        self.globals = {"namespace": self.globals["namespace"], "joiner": self.globals["joiner"]}


def render_template(source: str, where: str, context: Mapping[str, object]) -> str:
    """Renders a template to Markdown.

    Every text that comes from the context is escaped for the place it stands in; `Markdown` is
    not. Numbers come from fields alone.

    Args:
        source: The template.
        where: What it is called in errors.
        context: Name → value; what a template may speak of.

    Returns:
        The Markdown.

    Raises:
        UserError: The template is broken, names a field that is not there, or brings along a
            number; with the line.
    """
    environment = _Environment()
    try:
        template = environment.parse(source)
        text = skeleton(source, environment)
        for alone in template.find_all(_ALONE):
            raise UserError(f"{where} line {alone.lineno}: a template stands alone: no "
                            f"{type(alone).__name__.lower()}")  # fmt: skip
        _check_filters(template, environment, where)
        undeclared = find_undeclared_variables(template)
        FieldCheck(where, context, environment.globals, undeclared).check(template)
        check_numbers(text, where)
        check_literals(template, where)
        _mark_places(template, places(text), environment)
        ready = environment.from_string(template)
    except TemplateSyntaxError as error:
        raise UserError(f"{where} line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise UserError(f"{where}: an expression is nested too deeply") from None
    try:
        return ready.render(context)
    except Exception as error:
        _refuse(error, where)


def _written(value: object, place: Place = Place.TEXT) -> Any:
    """What a field writes: text is escaped, what is missing says so, structures are refused."""
    if isinstance(value, Markdown | _Field):
        return value
    if missing(value):
        return MISSING
    if isinstance(value, bool):
        return Markdown("yes" if value else "no")
    if isinstance(value, int | float):
        return Markdown(value)
    if isinstance(value, str):
        return escape(value, place)
    if type(value).__str__ is object.__str__ or isinstance(value, Mapping | list | tuple | set):
        raise TypeError(
            f"{described(value)} cannot be written: name a field of it, or loop over it"
        )
    return escape(str(value), place)


def _of_field(write: Callable[..., Markdown]) -> Callable[..., Markdown]:
    """The filter, which lets a field that is not there say so itself."""

    def checked(value: object, *args: Any, **kwargs: Any) -> Markdown:
        if isinstance(value, _Field):
            str(value)
        return write(value, *args, **kwargs)

    return checked


def _writer(place: Place) -> Any:
    def write(value: object) -> Any:
        return _written(value, place)

    return write


def _mark_places(
    template: nodes.Template, where: Mapping[int, Place], environment: _Environment
) -> None:
    """Wraps the fields that stand in code or in a link in a filter that escapes for it."""
    number = 0
    for output in template.find_all(nodes.Output):
        for position, node in enumerate(output.nodes):
            if isinstance(node, nodes.TemplateData):
                continue
            place = where.get(number, Place.TEXT)
            number += 1
            if place is not Place.TEXT:
                wrapped = nodes.Filter(node, _IN_PLACE + place.name, [], [], None, None)
                wrapped.set_lineno(node.lineno)
                wrapped.set_environment(environment)
                output.nodes[position] = wrapped


def _check_filters(template: nodes.Template, environment: _Environment, where: str) -> None:
    """Refuses filters and tests that are not there, in branches that are not taken as well."""
    kinds: tuple[tuple[str, type[nodes.Node], Mapping[str, object]], ...] = (
        ("filter", nodes.Filter, environment.filters),
        ("test", nodes.Test, environment.tests),
    )
    for kind, node_type, known in kinds:
        for node in template.find_all(node_type):
            name = node.name  # type: ignore[attr-defined]
            if name not in known:
                own = [other for other in known if not other.startswith(_IN_PLACE)]
                raise UserError(f"{where} line {node.lineno}: {unknown(kind, name, own)}")


def _refuse(error: Exception, where: str) -> NoReturn:
    """Says a failure of rendering with the line of the template it comes from."""
    line = _line(error.__traceback__)
    place = f"{where} line {line}" if line else where
    if isinstance(error, SecurityError):
        raise UserError(f"{place}: not for templates: {error}") from None
    if isinstance(error, UndefinedError):
        raise UserError(f"{place}: {error.message}") from None
    raise UserError(f"{place}: {error}") from None


def _line(trace: TracebackType | None) -> int | None:
    """The innermost line of the template, which jinja puts into the traceback."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
