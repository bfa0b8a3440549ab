"""The commands of the guide for labelling, over three rounds, with somebody who paints what is there."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cimnet.curation.label.brush_rle import encode_mask
from cimnet.data import open_dataset
from tests import ROOT
from tests.conftest import Result
from tests.docs.pages import indented
from tests.docs.shell import commands_of

FIRST, FURTHER = (list(commands_of(block.text)) for block in indented(ROOT / "docs" / "guides" / "labelling.md"))
CLASSES = ("background", "car", "person", "bus")
SIZE = (48, 64)
FLIGHTS, FRAMES = 5, 40
Mask = npt.NDArray[np.uint8]


def truth(number: int) -> Mask:
    """Cars everywhere; people in each third pair; a bus in one flight's last frames only."""
    mask = np.zeros(SIZE, np.uint8)
    mask[8:20, 4:28] = 1
    if number % 3 == 0:
        mask[24:40, 36:44] = 2
    if number % FRAMES > FRAMES - 3 and number < FRAMES:
        mask[28:44, 4:28] = 3
    return mask


def name(number: int) -> str:
    return f"flight{number // FRAMES}_{number % FRAMES:04d}"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """200 pairs of five flights without a label, as the guide's ``data/mine``; each class has its own colour and
    heat."""
    monkeypatch.chdir(tmp_path)
    root = Path("data/mine")
    for kind in ("rgb", "thermal"):
        (root / kind).mkdir(parents=True)
    random = np.random.default_rng(0)
    rgb = np.array([(90, 110, 80), (40, 40, 200), (200, 80, 60), (220, 200, 40)])
    heat = np.array([60, 150, 230, 180])
    for number in range(FLIGHTS * FRAMES):
        mask = truth(number)
        noise = random.normal(0, 12, (*SIZE, 4))
        picture = np.clip(rgb[mask] + noise[..., :3], 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(root / "rgb" / f"{name(number)}.png")
        thermal = np.clip(heat[mask] + noise[..., 3], 0, 255).astype(np.uint8)
        Image.fromarray(thermal).save(root / "thermal" / f"{name(number)}.png")
    (root / "classes.yaml").write_text(f"classes: [{', '.join(CLASSES)}]\n")
    return root


def masks_of(export: Path) -> dict[str, Mask]:
    """What somebody paints on each image of an export, by the tool's name of the image."""
    with (export / "names.csv").open() as file:
        pairs = {row["file"]: row["pair"] for row in csv.DictReader(file)}
    numbers = {name(number): number for number in range(FLIGHTS * FRAMES)}
    return {file: truth(numbers[pair]) for file, pair in pairs.items()}


def paint_in_cvat(export: Path, result: Path) -> None:
    """CVAT's "Segmentation mask 1.1" of all images of an export."""
    colors = {label["name"]: label["color"] for label in json.loads((export / "labels.json").read_text())}
    table = [tuple(bytes.fromhex(colors.get(one, "#000000")[1:])) for one in CLASSES]
    lines = [f"{one}:{','.join(map(str, color))}::" for one, color in zip(CLASSES, table, strict=True)]
    with zipfile.ZipFile(result, "w") as file:
        file.writestr("labelmap.txt", "# label:color_rgb:parts:actions\n" + "\n".join(lines) + "\n")
        for image, mask in masks_of(export).items():
            with file.open(f"SegmentationClass/{image}.png", "w") as target:
                Image.fromarray(np.array(table, np.uint8)[mask]).save(target, "PNG")


def paint_in_label_studio(export: Path, result: Path) -> None:
    """Label Studio's "JSON" of all tasks of an export."""
    tasks = json.loads((export / "tasks.json").read_text())
    masks = masks_of(export)
    for task in tasks:
        mask = masks[task["data"]["name"]]
        painted = [
            {
                "type": "brushlabels",
                "original_width": SIZE[1],
                "original_height": SIZE[0],
                "value": {"format": "rle", "rle": encode_mask(mask == k), "brushlabels": [one]},
            }
            for k, one in enumerate(CLASSES)
            if k and (mask == k).any()
        ]
        task["annotations"] = [{"result": painted, "updated_at": "2026-01-01"}]
    result.write_text(json.dumps(tasks))


TOOLS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "cvat": ("zip", paint_in_cvat),
    "label-studio": ("json", paint_in_label_studio),
}
QUICK = ["model.name=pixel_plain", "training.learning_rate=0.05", "training.epochs=2", "augmentation.crop=[48,64]"]
NETWORK = ["training.epochs=1", "model.pretrained=false", "augmentation.crop=[64,64]"]


@pytest.mark.parametrize(
    ("tool", "changes"),
    [
        ("cvat", QUICK),
        ("label-studio", QUICK),
        pytest.param("cvat", NETWORK, marks=pytest.mark.slow),
    ],
    ids=["cvat", "label-studio", "cvat with the network of the recipe own"],
)
def test_three_rounds(mine: Path, pixel: None, cli: Callable[..., Result], tool: str, changes: list[str]) -> None:
    verbs = [words[:3] if words[0] == "data" else words[:1] for words in (*FIRST, *FURTHER)]
    labelling = [["data", "label", "export"], ["data", "label", "import"], ["data", "split", "data/mine"], ["train"]]
    assert verbs == [*labelling, *labelling, ["eval"], ["eval"]]
    ending, paint = TOOLS[tool]
    third = [[word.replace("round2", "round3").replace("round1", "round2") for word in words] for words in FURTHER]
    held: list[dict[str, set[str]]] = []
    for number, commands in enumerate((FIRST, FURTHER, third), start=1):
        for words in commands:
            words = [word.replace(".zip", f".{ending}").replace("cvat", tool) for word in words]
            if words[:3] == ["data", "label", "import"]:
                paint(Path(f"round{number}"), Path(f"round{number}.{ending}"))
            more = [f"--set={change}" for change in (*changes, "data.workers=0")] if words[0] == "train" else []
            done = cli(*words, *more)
            assert done.code == 0, (words, done.out, done.err)
        held.append({part: set(open_dataset(mine, part).ids) for part in ("train", "val", "test")})
    assert [sum(map(len, parts.values())) for parts in held] == [20, 70, 120]
    flights = [{part: {one[:7] for one in ids} for part, ids in parts.items()} for parts in held]
    assert sorted(flight for part in flights[0].values() for flight in part) == [f"flight{k}" for k in range(FLIGHTS)]
    assert flights[0] == flights[1] == flights[2]
    for before, after in pairwise(held):
        assert all(before[part] <= after[part] for part in before)
    for pair in open_dataset(mine, "test").pairs:
        expected = truth(int(pair.id[6]) * FRAMES + int(pair.id[-4:]))
        np.testing.assert_array_equal(np.array(Image.open(mine / "labels" / f"{pair.id}.png")), expected)
    assert Path("runs/round3/best.safetensors").is_file()
