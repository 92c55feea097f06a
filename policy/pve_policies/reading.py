"""Reading PulumiPolicy.yaml as the engine does: YAML 1.2, in which `no` is a word, and no key is there twice."""

from __future__ import annotations

import re
from typing import Any

import yaml

_MEANINGS = (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN"),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("tag:yaml.org,2002:float", r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+0123456789."),
    ("tag:yaml.org,2002:merge", r"<<", "<"),
)


class _Loader(yaml.SafeLoader):
    """The library's own loader knows YAML 1.1 only."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as the library has it

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the library's signature
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]} stands here twice", node.start_mark)
        made = super().construct_mapping(node, deep)
        return {str(key): value for key, value in made.items()}  # to the engine a key is a text


for _tag, _pattern, _first in _MEANINGS:
    _letters = [*_first, ""] if _tag.endswith("null") else list(_first)
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), _letters)


def read(text: str) -> Any:  # noqa: ANN401 - any YAML value
    """The value of a document.

    Raises:
        ValueError: it is no YAML, or holds a key twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - made of the safe one
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
