"""YAML from untrusted sources: plain values only, no repeated key, no file that unpacks to gigabytes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from cimnet.errors import one_line

MAX_CHARACTERS = 1_000_000
MAX_VALUES = 100_000
"""After anchors have been followed: ten lines of them can stand for a billion values."""


class _Loader(yaml.SafeLoader):
    """PyYAML silently keeps the last of two equal keys; here they are an error."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        keys = Counter((key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for (_, name), count in keys.items():
            if count > 1:
                raise yaml.MarkedYAMLError(problem=f"the key {name!r} is given twice", problem_mark=node.start_mark)
        return node


def _matrix(loader: yaml.SafeLoader, node: yaml.Node) -> dict[Any, Any]:
    """A matrix as OpenCV's FileStorage writes it: a mapping of plain values (rows, cols, dt, data)."""
    if not isinstance(node, yaml.MappingNode):
        raise yaml.MarkedYAMLError(problem="an opencv-matrix is a mapping", problem_mark=node.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _matrix)


def read_yaml(path: Path) -> Any:
    """The values of a UTF-8 file, with or without a byte order mark.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is not UTF-8.
        ValueError: see `parse_yaml`.
    """
    with path.open(encoding="utf-8-sig") as file:
        return parse_yaml(file.read(MAX_CHARACTERS + 1))


def parse_yaml(text: str) -> Any:
    """The values of a text.

    Raises:
        ValueError: not YAML, a key twice, a tag that stands for code, nested too deep, or far too large; one line.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS:,} characters; such files are small")
    try:
        content = yaml.load(text.removeprefix("%YAML:1.0"), _Loader)  # OpenCV's first line, which is not YAML's
        left = MAX_VALUES - _count(content, {})
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    except yaml.YAMLError as error:
        reason = one_line(error, None).replace('in "<unicode string>",', "at")
        raise ValueError(reason[:300]) from error
    if left < 0:
        raise ValueError(f"its anchors stand for more than {MAX_VALUES:,} values")
    return content


def _count(value: Any, known: dict[int, int]) -> int:
    """Values in a value, those that anchors repeat counted each time; one that holds itself counts as too many."""
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if id(value) not in known:
        known[id(value)] = MAX_VALUES + 1
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        known[id(value)] = 1 + sum(_count(item, known) for item in inner)
    return known[id(value)]
