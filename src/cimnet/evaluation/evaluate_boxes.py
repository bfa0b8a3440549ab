"""Run a model over a data set and score its masks by boxes: recall of objects, precision of pixels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from cimnet.data import RGBTDataset
from cimnet.data.boxes import PairBoxes
from cimnet.errors import DataError
from cimnet.evaluation.box_scores import Counts, ImageBootstrap, JudgedImage, JudgedObject, Ratio, judge_image
from cimnet.evaluation.evaluate import Predict, load_pairs
from cimnet.utils.numbers import format_percent, json_number, pluralize
from cimnet.utils.tables import markdown_table

SHARES = (0.1, 0.3, 0.5)
"""A box counts as found where at least this share of it is predicted as its class."""
ALL = "all"
ONE = "one"
_SEEN_IN = {
    ALL: ("both", "rgb", "thermal", "unsure", ""),
    ONE: ("rgb", "thermal"),
    **{sensor: (sensor,) for sensor in ("both", "rgb", "thermal", "unsure")},
}
"""What a row of the report counts: objects that one sensor alone shows are those of rgb and thermal together."""


class Group(NamedTuple):
    """Objects of one class, in one scene, with one `seen_in`; "all" stands for any, "one" for rgb and thermal."""

    class_name: str
    scene: str = ALL
    seen_in: str = ALL


@dataclass
class BoxEvaluation:
    """Masks of a data set, judged by boxes.

    Attributes:
        classes: class names, in the order of the ids.
        images: one entry for each annotated image, also for those without a box.
        left_out: number of pairs in the split that the box file does not list as annotated.
    """

    classes: tuple[str, ...]
    images: list[JudgedImage] = field(default_factory=list)
    left_out: int = 0

    @cached_property
    def _bootstrap(self) -> ImageBootstrap:
        return ImageBootstrap(len(self.images))

    @property
    def boxed(self) -> list[str]:
        """Classes that have at least one box, by id."""
        ids = {found.class_id for image in self.images for found in image.objects}
        return [self.classes[k] for k in sorted(ids)]

    @property
    def scenes(self) -> list[str]:
        """Scenes of the images, sorted, without unknown ones."""
        return sorted({image.scene for image in self.images} - {""})

    @property
    def _scene_groups(self) -> list[str]:
        """All images, and each scene where there are several."""
        return [ALL, *self.scenes] if len(self.scenes) > 1 else [ALL]

    def recall(self, group: Group, share: float) -> Ratio:
        """Objects of a group of whose box at least `share` is predicted as their class."""
        return self._bootstrap.ratio(*self.hits(group, share), independent=True)

    def hits(self, group: Group, share: float) -> tuple[Counts, Counts]:
        """Count by image, (N,) each: the objects of a group that are found as in :meth:`recall`, and all of them."""
        shares = [self._shares(image, group) for image in self.images]
        found = np.array([sum(value >= share for value in values) for values in shares], dtype=np.int64)
        return found, np.array([len(values) for values in shares], dtype=np.int64)

    def precision(self, class_name: str, scene: str = ALL) -> Ratio:
        """Pixels predicted as a class that lie inside any box of the class. Images without a box count."""
        k = self.classes.index(class_name)
        chosen = np.array([scene in (ALL, image.scene) for image in self.images], dtype=np.int64)
        inside = np.array([image.inside[k] for image in self.images], dtype=np.int64) * chosen
        predicted = np.array([image.predicted[k] for image in self.images], dtype=np.int64) * chosen
        return self._bootstrap.ratio(inside, predicted, independent=False)

    def groups(self) -> Iterator[Group]:
        """Every group that holds an object: classes, then scenes, then sensors."""
        for class_name in self.boxed:
            for scene in self._scene_groups:
                for seen_in in _SEEN_IN:
                    group = Group(class_name, scene, seen_in)
                    if any(self._shares(image, group) for image in self.images):
                        yield group

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``--json``: shares in 0..1, null where there is nothing to count."""
        return {
            "classes": list(self.classes),
            "shares": list(SHARES),
            "images": len(self.images),
            "images_without_boxes": sum(not image.objects for image in self.images),
            "images_left_out": self.left_out,
            "recall": [
                {**group._asdict(), **{f"{share:g}": _plain(self.recall(group, share)) for share in SHARES}}
                for group in self.groups()
            ],
            "precision": [
                {"class_name": name, "scene": scene, **_plain(self.precision(name, scene))}
                for name in self.boxed
                for scene in self._scene_groups
            ],
            "by_image": [self._plain_image(image) for image in self.images],
        }

    def _plain_image(self, image: JudgedImage) -> dict[str, Any]:
        """Return the parts of the sums for one image, so that two models can be compared image by image."""
        pixels = {name: (image.predicted[k], image.inside[k]) for k, name in enumerate(self.classes)}
        return {
            "id": image.id,
            "scene": image.scene,
            "objects": [
                {"class_name": self.classes[found.class_id], "seen_in": found.seen_in, "share": found.share}
                for found in image.objects
            ],
            "pixels": {name: {"predicted": int(p), "inside": int(i)} for name, (p, i) in pixels.items() if p},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BoxEvaluation:
        """The evaluation that :meth:`to_dict` wrote."""
        classes, images = tuple(content["classes"]), []
        number = {name: k for k, name in enumerate(classes)}
        for entry in content["by_image"]:
            objects = [JudgedObject(number[o["class_name"]], o["seen_in"], o["share"]) for o in entry["objects"]]
            counts = np.zeros((2, len(classes)), np.int64)
            for name, pixels in entry["pixels"].items():
                counts[:, number[name]] = pixels["predicted"], pixels["inside"]
            images.append(JudgedImage(entry["id"], entry["scene"], tuple(objects), *counts))
        return cls(classes, images, content["images_left_out"])

    def to_json(self) -> str:
        """:meth:`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_markdown(self) -> str:
        """Two tables in per cent with 95 % intervals: recall by class, scene, sensor; precision by class and scene."""
        rows = []
        for group in self.groups():
            found = [self.recall(group, share) for share in SHARES]
            rows.append([*group, found[0].total, *map(_cell, found)])
        head = ["class", "scene", "seen in", "objects", *(f"found, {100 * share:.0f}% of the box" for share in SHARES)]
        recall = markdown_table(head, rows, "lllr")
        cells = [(name, *(_cell(self.precision(name, scene)) for scene in self._scene_groups)) for name in self.boxed]
        precision = markdown_table(["pixels inside boxes", *self._scene_groups], cells)
        without = sum(not image.objects for image in self.images)
        note = f"{pluralize(len(self.images), 'image')}, {without} of them without a box (they count as empty)"
        note += f"; {pluralize(self.left_out, 'pair')} not listed in the box file, left out" if self.left_out else ""
        return f"{recall}\n{precision}\n{note}. Per cent, with 95% intervals.\n"

    def _shares(self, image: JudgedImage, group: Group) -> Sequence[float]:
        if group.scene not in (ALL, image.scene):
            return ()
        k = self.classes.index(group.class_name)
        return [o.share for o in image.objects if o.class_id == k and o.seen_in in _SEEN_IN[group.seen_in]]


def evaluate_boxes(
    predict: Predict,
    dataset: RGBTDataset,
    boxes: PairBoxes,
    *,
    device: torch.device | str = "cpu",
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> BoxEvaluation:
    """Compare predictions with boxes, image by image; sizes may differ. Labels are not needed.

    Args:
        predict: as in :func:`cimnet.evaluate`.
        dataset: pairs; those that the boxes' file does not list as annotated are left out.
        boxes: boxes of these pairs, from :func:`cimnet.data.boxes.boxes_of_pairs`.
        device: where the images are put before ``predict`` is called.
        workers: processes that read the pairs; 0: this one.
        progress: called with the number of images done after each image.

    Raises:
        DataError: no pair is annotated, no box is scored, or a prediction has another size than its image.
    """
    annotated = set(boxes.annotated)
    chosen = [k for k, name in enumerate(dataset.ids) if name in annotated]
    where = f"{dataset.root}, split {dataset.split!r}"
    if not any(not box.ignore for found in boxes.by_pair.values() for box in found):
        raise DataError(f"{where}: none of its pairs has a box that is scored; give the boxes of this split")
    result = BoxEvaluation(tuple(dataset.classes), left_out=len(dataset) - len(chosen))
    for done, batch in enumerate(load_pairs(dataset, chosen, workers), start=1):
        name = batch.ids[0]
        ids = predict(batch.rgb.to(device), batch.thermal.to(device))[0].cpu().numpy()
        if ids.shape != tuple(batch.rgb.shape[-2:]):
            raise DataError(
                f"{name}: a prediction of {ids.shape} pixels for an image of {tuple(batch.rgb.shape[-2:])}; "
                "they must be of one size"
            )
        scene = boxes.scenes.get(name) or batch.scenes[0]
        result.images.append(judge_image(ids, boxes.by_pair.get(name, ()), len(dataset.classes), id=name, scene=scene))
        if progress is not None:
            progress(done)
    return result


def _plain(ratio: Ratio) -> dict[str, Any]:
    """For JSON."""
    plain: dict[str, Any] = {
        "hits": ratio.hits,
        "total": ratio.total,
        "value": json_number(ratio.value),
        "interval": ratio.interval,
    }
    return plain if ratio.wilson is None else {**plain, "wilson": ratio.wilson}


def _cell(ratio: Ratio) -> str:
    if ratio.interval is None:
        return format_percent(ratio.value)
    return f"{format_percent(ratio.value)} [{format_percent(ratio.interval[0])}, {format_percent(ratio.interval[1])}]"


__all__ = ["ALL", "ONE", "SHARES", "BoxEvaluation", "Group", "evaluate_boxes"]
