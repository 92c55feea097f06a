"""A stack file's text: YAML in the form of the files here, which is read back as the very same values. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from cluster.errors import AdminError
from config import stack_file
from config.errors import ConfigError
from config.load import load
from config.scalars import Misread, scalar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEAD = """\
# yaml-language-server: $schema=docs/config.schema.json
# {cluster}, as it was found. The first `make up` takes it over as it is: docs/adopting.md says what it adds.
"""


class _Dumper(yaml.SafeDumper):
    """Lists are indented, and texts in quotes wherever the engine would read something else without them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's
        del indentless
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    try:
        plain = scalar(value) == value
    except Misread:
        plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def text(document: Mapping[str, Any], left_out: Sequence[str]) -> str:
    """The file's text, checked.

    Args:
        document: the keys of the program, with plain values.
        left_out: what stands below them as a comment, a line each.

    Raises:
        AdminError: adopt-not-describable, when this program would refuse the file.
    """
    settings = {f"{stack_file.NAMESPACE}:{key}": _top(value) for key, value in document.items()}
    written = HEAD.format(cluster=f"Cluster {document['cluster']['name']}") + yaml.dump(
        {"config": settings}, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=4096, allow_unicode=True
    )
    if left_out:
        written += "".join(f"# {line}\n" for line in ("Not described:", *(f"- {_line(one)}" for one in left_out)))
    _check(written, document)
    return written


def _top(value: object) -> object:
    """The engine keeps what stands alone as a text."""
    return value if isinstance(value, (dict, list, str)) else json.dumps(value)


def _line(words: str) -> str:
    """Names come from the cluster, and must not end the comment."""
    return "".join(letter if letter.isprintable() else "?" for letter in words)


def _check(written: str, document: Mapping[str, Any]) -> None:
    try:
        load(stack_file.parse(written, "the new stack file").settings)
    except ConfigError as error:
        name = document["cluster"]["name"]
        raise AdminError(
            "adopt-not-describable",
            f"a stack file cannot describe cluster {name}",
            observed="; ".join(f"{one.path}: {one.message}" for one in error.problems),
            expected="a cluster that docs/config.md can describe",
        ) from None
