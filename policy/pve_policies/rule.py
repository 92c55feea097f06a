"""What a rule is: data about it, and for each type of resource a pure function that finds what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from pulumi_policy import EnforcementLevel, PolicyConfigSchema, ResourceValidationPolicy
from pulumi_policy.proxy import UNKNOWN_OBJECT_VALUE, UnknownValueError, unknown_checking_proxy

if TYPE_CHECKING:
    from pulumi_policy import ReportViolation, ResourceValidationArgs

Props = Mapping[str, Any]
# Where a provider's bridge lists the inputs that it filled in itself; the next run keeps a listed one as it is.
DEFAULTS = "__defaults"


@dataclass(frozen=True)
class Subject:
    """The resource that is judged.

    Reading a property whose value is not known yet raises the SDK's UnknownValueError, which turns the verdict into an
    advice that names the property: what is unknown never passes in silence.

    Attributes:
        props: its inputs.
        parent: type of its parent; empty when it has none.
        protect: whether the engine refuses to delete it.
        provider: inputs of its provider; empty when it has none.
        settings: the rule's settings, defaults included.
        urn: what the engine calls it; the same one in every look at it.
        api: the URN of its provider.
    """

    name: str
    type: str
    props: Props
    parent: str = ""
    protect: bool = False
    provider: Props = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    urn: str = ""
    api: str = ""


Judge = Callable[[Subject], Iterator[str]]
Remedy = Callable[[Subject], Props]


@dataclass(frozen=True)
class Example:
    """A resource that shows what a rule means; `special` is what makes it special, the rest is only there to be whole.

    Attributes:
        before: another resource, which the program registers before this one.
    """

    type: str
    special: Props
    rest: Props = field(default_factory=dict)
    parent: str = ""
    protect: bool = False
    provider: Props = field(default_factory=dict)
    before: Example | None = None

    @property
    def props(self) -> Props:
        """All inputs."""
        return {**self.rest, **self.special}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of the pack.

    Attributes:
        id: its name in configuration, in messages and in the documentation.
        level: what a violation does, unless configured otherwise.
        demands: what must be so, as a sentence.
        protects: what happens where it is not so.
        source: where that is known from; F and a number is a story of docs/failures.md.
        fix: what to change; ends each message.
        judges: by type of resource, what finds problems; each problem is a sentence without its full stop.
        bad: a resource that it refuses.
        good: the nearest one that passes.
        settings: JSON schema of each of its settings, with a default.
        remedy: what to change, where the inputs can be put right by themselves; nothing when they are right. Of a nested
            property only what changes in it.
    """

    id: str
    level: EnforcementLevel
    demands: str
    protects: str
    source: str
    fix: str
    judges: Mapping[str, Judge]
    bad: Example
    good: Example
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    remedy: Remedy | None = None

    def policy(self) -> ResourceValidationPolicy:
        """The rule as the engine's SDK wants it."""
        schema = PolicyConfigSchema({name: dict(value) for name, value in self.settings.items()})
        return ResourceValidationPolicy(
            name=self.id,
            description=self.demands,
            validate=self._validate,
            remediate=self._remediate if self.remedy else None,  # type: ignore[arg-type] # a plain value does too
            enforcement_level=self.level,
            config_schema=schema if self.settings else None,
            remediation_steps=self.fix,
        )

    def _validate(self, args: ResourceValidationArgs, report: ReportViolation) -> None:
        judge = self.judges.get(args.resource_type)
        for problem in judge(self._subject(args, args.props)) if judge else ():
            report(f"{args.name}: {problem}. {self.fix}", None)

    def _remediate(self, args: ResourceValidationArgs) -> Props | None:
        if self.remedy is None or args.resource_type not in self.judges:
            return None
        props = cast("MutableMapping[str, Any]", args.props)
        try:
            changes = self.remedy(self._subject(args, unknown_checking_proxy(_copy(props))))
        except UnknownValueError:  # nothing is changed on a guess; the validation that follows names the property
            return None
        if not changes:
            return None
        _write(props, changes)
        return props

    def _subject(self, args: ResourceValidationArgs, props: Props) -> Subject:
        defaults = {name: schema["default"] for name, schema in self.settings.items()}
        return Subject(
            name=args.name,
            type=args.resource_type,
            props=props,
            parent=_type_of(args.opts.parent or ""),
            protect=args.opts.protect,
            provider=args.provider.props if args.provider else {},
            settings={**defaults, **args.get_config()},
            urn=args.urn,
            api=args.provider.urn if args.provider else "",
        )


def number(value: float) -> str:
    """A number as people write it; whole numbers reach a rule as floats."""
    return str(int(value)) if float(value).is_integer() else str(value)


def unknown(name: str) -> UnknownValueError:
    """What to raise for a property that is not known yet, where reading it raises nothing."""
    return UnknownValueError(UNKNOWN_OBJECT_VALUE, [name])


def given(props: Props, name: str) -> bool:
    """Whether the program itself sets this property; its value need not be known."""
    return name in set(props) - set(props.get(DEFAULTS) or ())


def _copy(value: Any) -> Any:  # noqa: ANN401 - JSON values
    """What a remedy may read. The SDK hands it a view that hides the marks of secrets, but unknown values as well."""
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_copy(item) for item in value]
    return value


def _write(props: MutableMapping[str, Any], changes: Props) -> None:
    """In place: the view keeps the mark of each secret that it covers, and a mapping made of what one reads loses it."""
    for name, value in changes.items():
        old = props.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            _write(cast("MutableMapping[str, Any]", old), value)
        else:
            props[name] = value
    if DEFAULTS in props:
        props[DEFAULTS] = [name for name in props[DEFAULTS] if name not in changes]


def _type_of(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", maxsplit=1)[-1] if urn else ""
