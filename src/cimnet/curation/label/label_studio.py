"""Write tasks for Label Studio, with RGB and thermal side by side and brush labels, and read its exports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from cimnet.curation.label.brush_rle import decode_mask, encode_mask
from cimnet.curation.label.pictures import LabelTask
from cimnet.curation.label.tool_classes import ToolClasses
from cimnet.errors import DataError, one_line
from cimnet.utils.files import resolved, write_text

_FROM, _TO = "classes", "rgb"


def write_label_studio(folder: Path, tasks: Sequence[LabelTask], known: ToolClasses, out: Path) -> list[str]:
    """Write ``images/``, ``tasks.json`` and ``config.xml`` (the labelling interface).

    Images are served by Label Studio from its local files, whose root is the folder that holds `out`.

    Returns:
        The names of the two files.
    """
    (folder / "images").mkdir()
    content = []
    for task in tasks:
        rgb, thermal, size = task.pictures()
        (folder / "images" / f"{task.name}.png").write_bytes(rgb)
        (folder / "images" / f"{task.name}_thermal.png").write_bytes(thermal)
        data = {
            "rgb": _address(out, f"{task.name}.png"),
            "thermal": _address(out, f"{task.name}_thermal.png"),
            "name": task.name,
        }
        predictions = [] if task.mask is None else [_prediction(task.mask, known, size)]
        content.append({"data": data, "predictions": predictions})
    write_text(folder / "tasks.json", json.dumps(content) + "\n")
    write_text(folder / "config.xml", _interface(known))
    return ["tasks.json", "config.xml"]


def _address(out: Path, file: str) -> str:
    return f"/data/local-files/?d={quote(f'{resolved(out).name}/images/{file}')}"


def _prediction(mask: npt.NDArray[np.uint8], known: ToolClasses, size: tuple[int, int]) -> dict[str, Any]:
    result = [
        {
            "id": f"class{k}",
            "type": "brushlabels",
            "from_name": _FROM,
            "to_name": _TO,
            "original_width": size[1],
            "original_height": size[0],
            "image_rotation": 0,
            "value": {"format": "rle", "rle": encode_mask(mask == k), "brushlabels": [name]},
        }
        for k, name in zip(known.ids, known.names, strict=True)
        if (mask == k).any()
    ]
    return {"model_version": "cimnet", "result": result}


def _interface(known: ToolClasses) -> str:
    view = ET.Element("View", style="display: flex")
    left, right = (ET.SubElement(view, "View", style="width: 50%") for _ in range(2))
    labels = ET.SubElement(left, "BrushLabels", name=_FROM, toName=_TO)
    for name, (red, green, blue) in zip(known.names, known.colors, strict=True):
        ET.SubElement(labels, "Label", value=name, background=f"#{red:02x}{green:02x}{blue:02x}")
    ET.SubElement(left, "Image", name=_TO, value="$rgb", zoom="true", sync="pair")
    ET.SubElement(right, "Image", name="thermal", value="$thermal", zoom="true", sync="pair")
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def read_label_studio(path: Path, known: ToolClasses) -> Iterator[tuple[str, npt.NDArray[np.uint8] | None]]:
    """File name (without extension) and class ids (H, W) of each annotated task of an export as JSON; of several
    annotations of a task the newest. None: nothing is painted in it. Tasks that nobody annotated are left out. A later
    brush covers an earlier one.

    Raises:
        DataError: not such an export, or labels that are no classes of the data set.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not JSON ({error}); export as JSON") from error
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a list of tasks; export as JSON, not JSON-MIN")
    ids = dict(zip(known.names, known.ids, strict=True))
    for number, task in enumerate(content):
        where = f"{path}: task {number + 1}"
        try:
            annotations = [a for a in task["annotations"] if not a.get("was_cancelled")]
            name = _name(task["data"])
            if annotations:
                newest = max(annotations, key=_changed)
                yield name, _mask(newest["result"], ids, known.unpainted, where)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            fault = f"has no {error}" if isinstance(error, KeyError) else f"is damaged ({one_line(error)})"
            raise DataError(f"{where}: {fault}; export as JSON, and keep the config that cimnet wrote") from error


def _changed(annotation: dict[str, Any]) -> datetime:
    """Return when an annotation was changed; without a time it is the oldest, without a zone the time is in UTC."""
    text = annotation.get("updated_at")
    time = datetime.fromisoformat(text) if text else datetime.min
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _name(data: dict[str, Any]) -> str:
    if isinstance(data.get("name"), str):
        return str(data["name"])
    address = urlsplit(str(data["rgb"]))
    place = parse_qs(address.query).get("d", [unquote(address.path)])[0]
    return PurePosixPath(place).stem


def _mask(
    result: list[dict[str, Any]], ids: dict[str, int], unpainted: int, where: str
) -> npt.NDArray[np.uint8] | None:
    brushes = [entry for entry in result if entry.get("type") == "brushlabels"]
    others = sorted({str(entry.get("type")) for entry in result} - {"brushlabels"})
    if others:
        raise DataError(f"{where}: has labels of the type {', '.join(others)}; cimnet reads brush labels")
    if not brushes:
        return None
    height, width = int(brushes[0]["original_height"]), int(brushes[0]["original_width"])
    mask = np.full((height, width), unpainted, np.uint8)
    for brush in brushes:
        value = brush["value"]
        labels = value["brushlabels"]
        if len(labels) != 1:
            raise DataError(f"{where}: a brush needs one label and has {', '.join(map(str, labels)) or 'none'}")
        label = labels[0]
        if label not in ids:
            raise DataError(
                f"{where}: the label {label!r} is no class of the data set ({', '.join(ids)}); rename it, or add it to "
                "classes.yaml"
            )
        if value.get("format") != "rle" or int(brush.get("image_rotation", 0)) != 0:
            raise DataError(
                f"{where}: a brush of the format {value.get('format')!r}, or a turned image; cimnet reads rle"
            )
        try:
            mask[decode_mask(value["rle"], height, width)] = ids[label]
        except DataError as error:
            raise DataError(f"{where}: {error}; export again") from error
    return mask
