"""Read weights from a file of another program (torch or safetensors) without running anything in it."""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from cimnet.checkpoint import INFO_KEY
from cimnet.errors import CheckpointError, one_line
from cimnet.utils.safetensors_header import read_header

CONTAINERS = ("model", "state_dict", "module", "model_state_dict")
"""Entries under which training code puts the weights, beside the optimiser's state and the like."""
_WEB_PAGE = re.compile(
    rb"(\xef\xbb\xbf|\xff\xfe|\xfe\xff)?\s*(<[!?a-z][a-z-]|HTTP/\d|(Content-Type|Date|From|MIME-Version|Server): )",
    re.IGNORECASE,
)
"""A tag, a comment or a header of HTTP, behind a byte order mark or not: no checkpoint begins like this."""
_LFS_POINTER = b"version https://git-lfs"
_ARCHIVES = (b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_TORCH_MAGIC = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")
"""In the first bytes of what torch.save wrote before it wrote zip files."""
_REFUSED = re.compile(r"GLOBAL ([\w.]+)")
_UNREADABLE = re.compile(r"Unsupported operand 1(4\d|5[0-2])\b")
"""Instructions that pickle has since protocol 4: torch reads none of them, because it writes none by itself."""
_AGAIN = "download it again"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The weights in a file by name, on the CPU.

    Containers such as ``{"model": …, "optimizer": …}`` are opened, and a leading ``module.`` of the names is removed.

    Args:
        path: of a file that ``torch.save`` or safetensors wrote.

    Raises:
        CheckpointError: there is no such file, it is none of these, it is damaged, or it holds more than weights.
    """
    path = Path(path)
    _require_checkpoint(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    return take_weights(content, str(path))


def take_weights(content: Any, source: str) -> dict[str, Tensor]:
    """The weights by name in what a file held, or in a state dict; see :func:`read_weights`.

    Args:
        source: for messages.

    Raises:
        CheckpointError: there are none.
    """
    for _ in CONTAINERS:  # one in another, at most
        if isinstance(content, Mapping):
            content = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{source}: holds {type(content).__name__} and not weights by name; give a state dict")
    weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        held = ", ".join(map(str, list(content)[:3])) or "nothing"
        raise CheckpointError(f"{source}: holds no weights ({held}); give a file with a state dict")
    return {name.removeprefix("module."): value for name, value in weights.items()}


def _require_checkpoint(path: Path) -> None:
    """Refuse a file whose first bytes are not those of a checkpoint."""
    try:
        if path.is_dir():
            raise CheckpointError(f"{path}: is a folder; give the file with the weights")
        with path.open("rb") as file:
            first = file.read(1024)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); give another path") from error
    if not first:
        raise CheckpointError(f"{path}: is empty; {_AGAIN}")
    if _WEB_PAGE.match(first.replace(b"\0", b"")):  # UTF-16 has a zero beside every letter
        raise CheckpointError(
            f"{path}: that is a web page, not a checkpoint; download the file itself (a drive shows a page of its own "
            "before large files and where access is not granted)"
        )
    if first.startswith(_LFS_POINTER):
        raise CheckpointError(
            f"{path}: is a pointer of git-lfs and not the checkpoint itself; run `git lfs pull` in its repository, or "
            "download the file itself"
        )
    if first.startswith(_ARCHIVES) or first[257:262] == b"ustar":
        raise CheckpointError(f"{path}: is a packed archive; unpack it and give the checkpoint inside")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        header = read_header(path)
        if INFO_KEY in header.metadata:
            raise CheckpointError(f"{path}: is a checkpoint of cimnet already; use it as it is")
        return safetensors.torch.load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged or not a safetensors file ({one_line(error)}); {_AGAIN}") from error


def _read_torch(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if not any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist()):
                raise CheckpointError(
                    f"{path}: is a zip archive and not a checkpoint of torch; unpack it and give the checkpoint inside"
                )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the age of the file's format
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file shows itself in many ways
        raise _refusal(path, error) from error


def _refusal(path: Path, error: Exception) -> CheckpointError:
    """Why torch did not read a file safely: it holds more than weights, or it is damaged."""
    refused = _REFUSED.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
    if _is_script(path):
        reason = "is a TorchScript file, which holds a program"
    elif refused:
        reason = f"holds more than weights ({refused[1]})"
    elif _UNREADABLE.search(str(error)) or _is_plain_pickle(path):
        reason = "is a pickle of a kind that torch does not read safely"
    else:
        return CheckpointError(f"{path}: cut short, damaged or not a checkpoint of torch; {_AGAIN}")
    return CheckpointError(f"{path}: {reason}, so that opening it could run code. {_convert(path)}")


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.rpartition("/")[2] == "constants.pkl" for name in archive.namelist())


def _is_of_torch(path: Path) -> bool:
    """Whether torch.save wrote the file, whole or cut short."""
    with path.open("rb") as file:
        first = file.read(64)
    return first.startswith(b"PK") or _TORCH_MAGIC in first


def _is_plain_pickle(path: Path) -> bool:
    """Whether the file is one pickle, of any protocol, from its first to its last byte. Nothing in it is run."""
    if _is_of_torch(path):
        return False
    try:
        with path.open("rb") as file:
            for _ in pickletools.genops(file):
                pass
            return not file.read(1)
    except Exception:  # each instruction has its own way to be malformed
        return False


def _convert(path: Path) -> str:
    """Explain how to take the weights out of a file that the user trusts, by the rule of :func:`take_weights`."""
    if _is_script(path):
        opened = f"torch.jit.load({str(path)!r}, map_location='cpu')"
    elif _is_of_torch(path):
        opened = f"torch.load({str(path)!r}, map_location='cpu', weights_only=False)"
    else:
        opened = f"pickle.load(open({str(path)!r}, 'rb'))"
    return (
        "If you trust its source, take the weights out where it may do no harm (a container without network, with the "
        f"original's code if the file needs it) and give the new file: python -c \"import pickle, torch; s = {opened}; "
        f"[s := s[k] for k in {CONTAINERS!r} * {len(CONTAINERS)} "
        "if isinstance(s, dict) and isinstance(s.get(k), (dict, torch.nn.Module))]; "
        "s = s if isinstance(s, dict) else s.state_dict(); "
        "torch.save({k: v for k, v in s.items() if torch.is_tensor(v)}, 'weights.pth')\""
    )
