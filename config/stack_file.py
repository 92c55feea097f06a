"""Reading a stack file as the engine does: one document of YAML 1.2, in which no key is there twice.

The engine reads with gopkg.in/yaml.v3, a port of the C library that is used here, so both agree on the syntax. What a scalar
means is decided in :mod:`config.scalars`. What other readers read otherwise (tags, octal numbers, dates) is refused.
The size is bounded while reading: a pull request from a fork decides what stands here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from config import broken_yaml
from config.errors import ConfigError, Problem
from config.scalars import Misread, scalar
from onnode.system.pve import namesakes

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE = "nested-pve-ha"  # the project's name, in Pulumi.yaml
DEEPEST = 32  # the model needs 8
LARGEST = 600_000  # characters, what aliases repeat counted each time; three hundred nodes have half of it
_EACH = 16  # what a value weighs beside its text
_MERGE = "<<"
_SECURE = "secure"


@dataclass(frozen=True)
class StackFile:
    """What a stack file says.

    Attributes:
        settings: the texts by key that the engine hands to the program.
        encrypted: the keys among them that are stored encrypted, wholly or in part; their text is what is stored.
    """

    settings: dict[str, str]
    encrypted: frozenset[str]


def read(file: Path) -> StackFile:
    """Read a stack file.

    Raises:
        ConfigError: it is none, or some of it would be read otherwise than it looks.
    """
    with file.open("rb") as opened:
        return parse(opened.read(4 * LARGEST + 1), file.name)  # UTF-8 has four bytes for a character at most


def refuse_misread(stack: str) -> None:
    """Refuse a stack file in this directory that the engine read otherwise than it looks: it hands over 128 for 0200.

    Raises:
        ConfigError: some of it would be read otherwise than it looks.
    """
    file = Path(f"Pulumi.{stack}.yaml")
    names = [found.name for found in Path().glob("Pulumi.*.yaml")]
    if file.name in names and (others := namesakes(file.name, names)):
        message = f"{', '.join(others)} exists, too: Proxmox VE stores tags in lower case, so both stacks would have the same mark"
        raise ConfigError(
            [Problem(file.name, message, "give one stack a name that differs in more than upper and lower case")]
        )
    if file.is_file():  # another one may have been named on the engine's command line
        read(file)


def parse(content: bytes | str, name: str) -> StackFile:
    """Read the content of a stack file.

    Args:
        content: of the file.
        name: what to call the file.

    Raises:
        ConfigError: it is none, or some of it would be read otherwise than it looks.
    """
    whole = document(content, name)
    if whole is None:
        return StackFile({}, frozenset())
    found = whole.get("config") if isinstance(whole, dict) else whole
    if found is not None and not (isinstance(whole, dict) and isinstance(found, dict)):
        raise _refusal(
            name, "is no stack file: it has no keys with settings", "write config:, and the settings below it"
        )
    return _settings(found or {}, name)


def _decoded(content: bytes | str, name: str) -> str:
    try:
        return (content if isinstance(content, str) else content.decode("utf-8-sig")).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _refusal(name, f"cannot be read: {error}", "save it as UTF-8") from None


def document(content: bytes | str, name: str) -> Any:  # noqa: ANN401 - any YAML value
    """The only document of a YAML file, as the engine reads it; None when there is nothing in it.

    Args:
        content: of the file.
        name: what to call the file.

    Raises:
        ConfigError: it cannot be read, or some of it would be read otherwise than it looks.
    """
    text = _decoded(content, name)
    if len(text) > LARGEST:
        raise _refusal(name, f"has {len(text)} characters", f"use fewer than {LARGEST}")
    reader = _Reader(text, name)
    try:
        whole = reader.document()
    except yaml.YAMLError as error:
        raise ConfigError([broken_yaml.problem(error, reader.last, name)]) from None
    if reader.problems:
        raise ConfigError(reader.problems)
    return whole


def _settings(found: dict[str, Any], name: str) -> StackFile:
    settings: dict[str, str] = {}
    problems: list[Problem] = []
    encrypted = set()
    for written, value in found.items():
        key = _full(written)
        if key.count(":") != 1:
            problems.append(Problem(f"{name}, {written}", "is no key of a setting", f"write {NAMESPACE}: and the key"))
        if key in settings:
            problems.append(Problem(f"{name}, {written}", f"is {key}, which is there already", "remove one of them"))
        settings[key] = _text(value)
        if _is_encrypted(value):
            encrypted.add(key)
    if problems:
        raise ConfigError(problems)
    return StackFile(settings, frozenset(encrypted))


def _full(key: str) -> str:
    """The engine's long form: the project's name before a key without one, the old middle part left out."""
    if ":" not in key:
        return f"{NAMESPACE}:{key}"
    namespace, _, rest = key.partition(":")
    return f"{namespace}:{rest.removeprefix('config:')}"


def _text(value: Any) -> str:  # noqa: ANN401 - any YAML value
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _is_encrypted(value: Any) -> bool:  # noqa: ANN401 - any YAML value
    if isinstance(value, dict):
        is_one = len(value) == 1 and isinstance(value.get(_SECURE), str)
        return is_one or any(map(_is_encrypted, value.values()))
    return isinstance(value, list) and any(map(_is_encrypted, value))


def _refusal(place: str, message: str, fix: str) -> ConfigError:
    return ConfigError([Problem(place, message, fix)])


@dataclass(frozen=True)
class _Node:
    """A value, what it weighs when it is repeated, and how deep it goes."""

    value: Any
    weight: int
    height: int = 0


@dataclass
class _Reader:
    """Builds the values from the parser's events, and counts on the way."""

    text: str
    name: str
    problems: list[Problem] = field(default_factory=list)
    last: yaml.Event | None = None  # of the parser's events
    _weight: int = 0
    _anchors: dict[str, _Node | None] = field(default_factory=dict)  # None while it is being read

    def document(self) -> Any:  # noqa: ANN401 - any YAML value
        """The only document of the file; None when there is nothing in it."""
        self._events = self._parsed()
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        node = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            raise self._refused(after, "a second document begins", "keep one")
        return node.value

    def _parsed(self) -> Iterator[yaml.Event]:
        for event in yaml.parse(self.text, Loader=yaml.CSafeLoader):
            self.last = event
            yield event

    def _node(self, event: yaml.Event, depth: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._count(event, _EACH + len(getattr(event, "value", "")), depth)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._anchors[anchor] = None
        node = self._content(event, depth)
        if anchor:
            self._anchors[anchor] = node
        return node

    def _content(self, event: yaml.Event, depth: int) -> _Node:
        if isinstance(event, yaml.ScalarEvent):
            return _Node(self._scalar(event), _EACH + len(event.value))
        self._refuse_tag(event)
        before = self._weight
        if isinstance(event, yaml.SequenceStartEvent):
            items = list(self._items(depth))
            return _Node([item.value for item in items], self._weight - before + _EACH, _above(items))
        value, height = self._mapping(depth)
        return _Node(value, self._weight - before + _EACH, height)

    def _items(self, depth: int) -> Iterator[_Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _mapping(self, depth: int) -> tuple[dict[str, Any], int]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        nodes = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, lines)
            inner = next(self._events)
            node = self._node(inner, depth + 1)
            nodes.append(node)
            if key == _MERGE and isinstance(event, yaml.ScalarEvent) and not event.style:
                merged = self._merged(inner, node)
            else:
                own[key] = node.value
        return {**merged, **own}, _above(nodes)

    def _key(self, event: yaml.Event, lines: dict[str, int]) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refused(event, "is no key", "write a word as the key")
        self._count(event, _EACH + len(event.value), 0)
        line, _ = _position(event)
        if event.value in lines:
            message = f"{_short(event.value)} stands here a second time, after line {lines[event.value]}"
            self._add(event, message, "remove one of them: which one counts is not said")
        lines.setdefault(event.value, line)
        key = event.value if event.value == _MERGE else self._scalar(event)
        if isinstance(key, (str, int)) and not isinstance(key, bool):
            return str(key)
        self._add(event, f"{_short(event.value)} is no word", "put the key in quotes")
        return event.value

    def _merged(self, event: yaml.Event, node: _Node) -> dict[str, Any]:
        """What `<<` brings in; of several mappings the first has the last word."""
        sources = node.value if isinstance(node.value, list) else [node.value]
        if not all(isinstance(source, dict) for source in sources):
            self._add(event, "<< needs a mapping, or a list of mappings", "name one with *")
            return {}
        return {key: value for source in reversed(sources) for key, value in source.items()}

    def _scalar(self, event: yaml.ScalarEvent) -> Any:  # noqa: ANN401 - any YAML value
        if event.tag == "tag:yaml.org,2002:str" or event.style:
            if event.tag != "tag:yaml.org,2002:str":
                self._refuse_tag(event)
            return event.value
        self._refuse_tag(event)
        try:
            return scalar(event.value)
        except Misread as error:
            self._add(event, f"{_short(event.value)} {error}", error.fix)
            return event.value

    def _alias(self, event: yaml.AliasEvent, depth: int) -> _Node:
        anchor = str(event.anchor)
        if anchor not in self._anchors:
            raise self._refused(
                event, f"*{_short(anchor)} is an alias without an anchor", f"write &{_short(anchor)} before"
            )
        node = self._anchors[anchor]
        if node is None:
            raise self._refused(event, f"*{_short(anchor)} contains itself", "write the value out")
        self._count(event, node.weight, depth + node.height)
        return node

    def _count(self, event: yaml.Event, weight: int, depth: int) -> None:
        self._weight += weight
        if depth > DEEPEST:
            raise self._refused(
                event, f"is nested more than {DEEPEST} deep", "write a stack file as docs/config.md shows it"
            )
        if self._weight > LARGEST:
            raise self._refused(
                event, f"has more than {LARGEST} characters once its aliases are expanded", "write less"
            )

    def _refuse_tag(self, event: yaml.Event) -> None:
        if tag := getattr(event, "tag", None):
            self._add(event, f"has the tag {_short(tag)}", "remove it: quotes make a text")

    def _add(self, event: yaml.Event, message: str, fix: str) -> None:
        self.problems.append(Problem(self._place(event), message, fix))

    def _refused(self, event: yaml.Event, message: str, fix: str) -> ConfigError:
        return ConfigError([*self.problems, Problem(self._place(event), message, fix)])

    def _place(self, event: yaml.Event) -> str:
        line, column = _position(event)
        return f"{self.name}, line {line}, column {column}"


def _position(event: yaml.Event) -> tuple[int, int]:
    """Line and column, as editors count."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _above(nodes: list[_Node]) -> int:
    return 1 + max((node.height for node in nodes), default=0)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"  # noqa: PLR2004 - a part of a line
