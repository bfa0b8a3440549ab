"""Check a ``.pt2`` archive before torch sees it.

``torch.export.load`` runs code that a file may bring: it unpickles, evaluates symbolic sizes as Python expressions,
looks operators up by attribute, and compiles source text that contains names from the file. So the archive is read
here, everything in it is compared with lists of what an export of this package holds, and torch gets an archive
written again from the parts that passed. So torch reads only what was checked.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from cimnet.errors import CheckpointError, one_line
from cimnet.inference.backends.details import KEYS, REMEDY
from cimnet.utils.numbers import pluralize

_MOST_ENTRIES = 100_000
_MOST_JSON = 64_000_000  # bytes; the graph of a large CIMNet takes 10 MB
_KEYS = "|".join(KEYS)
_ENTRIES = re.compile(  # of torch 2.8 and later, below one folder
    r"(archive_format|archive_version|byteorder|\.data/version|\.data/serialization_id|models/model\.json"
    r"|data/weights/model_weights_config\.json|data/constants/model_constants_config\.json"
    rf"|data/weights/weight_\d+|data/constants/tensor_\d+|data/sample_inputs/model\.pt|extra/({_KEYS}))"
)
_OLD_ENTRIES = re.compile(  # of torch before 2.8
    r"(version|serialized_exported_program\.json|serialized_(state_dict|constants|example_inputs)\.pt"
    rf"|extra_files/({_KEYS}))"
)
_MOST_GROWTH = 20
_SAMPLES = "data/sample_inputs/model.pt"
_WORD = re.compile(r"[A-Za-z0-9_.+-]{0,300}")  # what may go into source text that torch compiles
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b)\w+\.\w+|torch\.ops\.torchvision\.deform_conv2d\.default"
    r"|torch\.ops\.cimnet\.selective_scan\.default"
    r"|torch\.ops\.higher_order\.wrap_with_(autocast|set_grad_enabled)"
    r"|_operator\.(add|sub|mul|floordiv|mod|neg|eq|ne|ge|gt|le|lt|getitem|and_|or_)|math\.(ceil|floor|trunc)"
    r"|torch\.sym_(int|float|max|min|not|ite)"
)
_FORBIDDEN = {"as_custom_obj", "custom_obj", "as_opaque", "as_opaque_obj", "token", "as_token"}
_SYMBOL = re.compile(r"[su]\d{1,9}")
_FUNCTIONS = {
    *("Symbol", "Integer", "Rational", "Mul", "Add", "Pow", "PowByNatural", "Max", "Min", "Mod", "PythonMod"),
    *("FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "Eq", "Ne", "Equality", "Unequality", "GreaterThan"),
    *("LessThan", "StrictGreaterThan", "StrictLessThan", "Not", "And", "Or"),
}
_ASSUMPTIONS = {"positive", "integer", "nonnegative"}
_EXPRESSION = re.compile(r"[A-Za-z0-9_(),=<>! '+*/-]{1,4000}")
_LARGEST, _LARGEST_POWER = 2**62, 8
_TREES = {None, "builtins.tuple", "builtins.list", "builtins.dict"}


def checked_archive(path: Path) -> io.BytesIO:
    """The archive that torch may read, written again from the parts that passed.

    Raises:
        CheckpointError: the file is damaged, or holds something that no export of this package contains.
    """
    target = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as checked:
            for name, content in _read(source, path.stat().st_size):
                checked.writestr(name, content)
    except _Refused as error:
        raise CheckpointError(f"{path}: {error}; files of cimnet never hold this; do not open it") from error
    except Exception as error:  # a damaged archive shows itself in many ways
        reason = one_line(error, 120)
        raise CheckpointError(f"{path}: damaged, or not of torch.export ({reason}); {REMEDY}") from error
    target.seek(0)
    return target


class _Refused(Exception):
    """Something that an export of this package does not hold."""


def _read(archive: zipfile.ZipFile, length: int) -> Iterator[tuple[str, bytes]]:
    """Names and checked contents; the names and sizes of all entries are checked before the first is read."""
    infos = archive.infolist()
    if len(infos) > _MOST_ENTRIES:
        raise _Refused(f"it holds {pluralize(len(infos), 'entry', 'entries')}")
    if len({info.filename for info in infos}) < len(infos):
        raise _Refused("two entries have one name")
    old = "version" in archive.namelist()
    parts = []
    for info in infos:
        root, _, inner = info.filename.partition("/")
        name = info.filename if old else inner
        known = (_OLD_ENTRIES if old else _ENTRIES).fullmatch(name)
        if known is None or (not old and root != infos[0].filename.partition("/")[0]) or not _WORD.fullmatch(root):
            raise _Refused(f"it holds an entry {info.filename[:80]!r}")
        if name.endswith(".json") and info.file_size > _MOST_JSON:
            raise _Refused(f"its entry {info.filename[:80]!r} has {info.file_size} bytes")
        parts.append((name, info))
    if sum(info.file_size for info in infos) > _MOST_GROWTH * length:
        raise _Refused(f"it unpacks to more than {_MOST_GROWTH} times its size")
    sizes = {name: info.file_size for name, info in parts}
    for name, info in parts:
        yield info.filename, _checked(name, archive.read(info), sizes)


def _checked(name: str, content: bytes, sizes: dict[str, int]) -> bytes:
    """The content of an entry as torch may see it."""
    if name == _SAMPLES:
        return b""  # a pickle that nobody needs
    if name.endswith(".pt"):
        if content:
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return content
    if name.endswith("_config.json"):
        return _checked_tensors(json.loads(content), sizes, name)
    if name.endswith(".json"):
        program = json.loads(content)
        if program.get("guards_code"):
            raise _Refused("it holds guards written as code")
        _check_graph(program)
        return json.dumps(program).encode()
    return content


def _checked_tensors(config: dict[str, Any], sizes: dict[str, int], name: str) -> bytes:
    """A table of tensors: plain ones, each in an entry of its own."""
    folder = name.rpartition("/")[0]
    for key, tensor in config["config"].items():
        if tensor["use_pickle"] or tensor["tensor_meta"] is None:
            raise _Refused(f"it holds a pickle for the weight {str(key)[:80]!r}")
        _check_graph({key: tensor})
        numbers = [size["as_int"] for size in tensor["tensor_meta"]["sizes"]]
        stored = sizes[f"{folder}/{tensor['path_name']}"]
        if stored == 0 and 0 not in numbers:
            raise _Refused(f"the weight {str(key)[:80]!r} of shape {numbers} has no data")
    return json.dumps(config).encode()


def _check_graph(program: dict[str, Any]) -> None:
    """Walk through everything; what torch keeps only for debugging is emptied.

    Raises:
        _Refused: naming what is not on the lists.
    """
    waiting: list[Any] = [program]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("target"), str) and "inputs" in value:
                value["metadata"] = {}
            for key, inner in value.items():
                _check_word(key)
                if key in _FORBIDDEN and inner:
                    raise _Refused(f"it holds an object of the kind {key}")
                if key == "expr_str":
                    _check_expression(inner)
                elif key in ("target", "as_operator") and isinstance(inner, str):
                    _check_operator(inner)
                elif key in ("in_spec", "out_spec") and isinstance(inner, str):
                    _check_tree(json.loads(inner)[1] if inner else {"type": None, "context": None})
                else:
                    waiting.append(inner)
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            _check_word(value)


def _check_word(text: str) -> None:
    if not _WORD.fullmatch(text):
        raise _Refused(f"it holds the text {text[:80]!r}")


def _check_operator(name: str) -> None:
    if not _OPERATOR.fullmatch(name):
        raise _Refused(f"it calls {name[:80]!r}")


def _check_tree(tree: dict[str, Any]) -> None:
    """Check the nesting of arguments: tuples, lists and dictionaries with words as keys."""
    if tree["type"] not in _TREES:
        raise _Refused(f"its arguments are of the type {str(tree['type'])[:80]!r}")
    context = json.loads(tree["context"]) if tree["context"] else None
    for key in context or ():
        _check_word(key if isinstance(key, str) else "{}")
    for inner in tree.get("children_spec", ()):
        _check_tree(inner)


def _check_expression(text: str) -> None:
    """A symbolic size: sums, products and the like of whole numbers and of symbols such as s65."""
    refused = _Refused(f"it holds a size {str(text)[:80]!r}")
    if not isinstance(text, str) or not _EXPRESSION.fullmatch(text):
        raise refused
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise refused from error
    if not all(_is_harmless(node) for node in ast.walk(tree)):
        raise refused


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        power = isinstance(node.func, ast.Name) and node.func.id.startswith("Pow")
        return (
            isinstance(node.func, ast.Name)
            and node.func.id in _FUNCTIONS
            and all(word.arg in _ASSUMPTIONS for word in node.keywords)
            and (not power or (len(node.args) == 2 and _is_small(node.args[1])))
        )
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or _SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _SYMBOL.fullmatch(node.value) is not None
        return isinstance(node.value, bool | int) and abs(node.value) <= _LARGEST
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv) or (
            isinstance(node.op, ast.Pow) and _is_small(node.right)
        )
    kinds = ast.Expression | ast.UnaryOp | ast.USub | ast.operator | ast.Compare | ast.cmpop | ast.keyword | ast.Load
    return isinstance(node, kinds)


def _is_small(node: ast.expr) -> bool:
    """A constant that a power may have."""
    if isinstance(node, ast.Call) and len(node.args) == 1 and isinstance(node.func, ast.Name):
        return node.func.id == "Integer" and _is_small(node.args[0])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _is_small(node.operand)
    return isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) <= _LARGEST_POWER
