"""How what is asked and reported becomes JSON, and comes back."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from typing import Any, TypeVar, Union, get_args, get_origin

T = TypeVar("T")


def _of(kind: type[Any], value: Any, path: str) -> Any:  # noqa: ANN401 - JSON in, dataclass field out
    accepted = (int, float) if kind is float else (kind,)
    if type(value) not in accepted:
        raise ValueError(f"{path}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def _key(kind: type[Any], key: Any, path: str) -> Any:  # noqa: ANN401 - JSON in, dataclass field out
    """A key as it is meant: in JSON each of them is a text."""
    is_number = kind is int and isinstance(key, str) and re.fullmatch(r"-?\d+", key, re.ASCII)
    return _of(kind, int(key) if is_number else key, f"{path}, key {key}")


def _build(kind: Any, value: Any, path: str) -> Any:  # noqa: ANN401 - JSON in, dataclass field out
    if dataclasses.is_dataclass(kind):
        _of(dict, value, path)
        make: Any = kind  # is_dataclass() narrows to instances as well, which cannot be called
        hints = typing.get_type_hints(kind)
        known = {f.name: f for f in dataclasses.fields(kind)}
        if unknown := sorted(set(value) - set(known)):
            raise ValueError(f"{path}: unknown keys {unknown}")
        missing = [
            name
            for name, f in known.items()
            if name not in value and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise ValueError(f"{path}: missing keys {missing}")
        return make(**{name: _build(hints[name], item, f"{path}.{name}") for name, item in value.items()})
    origin = get_origin(kind)
    if origin is list:
        (inner,) = get_args(kind)
        return [_build(inner, item, f"{path}[{index}]") for index, item in enumerate(_of(list, value, path))]
    if origin is dict:
        of, inner = get_args(kind)
        found = _of(dict, value, path).items()
        return {_key(of, key, path): _build(inner, item, f"{path}.{key}") for key, item in found}
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (inner,) = [arm for arm in get_args(kind) if arm is not type(None)]
        return _build(inner, value, path)
    return value if kind is Any else _of(kind, value, path)


def parse(kind: type[T], document: dict[str, Any]) -> T:
    """Turn a step's JSON input into its dataclass.

    Raises:
        ValueError: a key is unknown, missing, or of the wrong shape; the message carries its path.
    """
    built: T = _build(kind, document, kind.__name__)
    return built


def document(desired: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass of the contract
    """The JSON form of a desired state; the inverse of :func:`parse`."""
    return dataclasses.asdict(desired)
