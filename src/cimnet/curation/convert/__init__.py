"""Convert a data set to another layout: every pair, split, scene and flag, with labels matched by class name."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml

from cimnet.curation.convert.destinations import place_pairs
from cimnet.curation.convert.panoptic import panoptic_json
from cimnet.curation.convert.targets import COLORS, PANOPTIC, Target, choose_target
from cimnet.curation.convert.writers import Destination, Job, Written, write_pair
from cimnet.data.classes import ClassList
from cimnet.data.contents import SCENE_LISTS, Contents, read_contents
from cimnet.data.dataset import Broken, RGBTDataset
from cimnet.data.flags import BROKEN_FLAGS, FLAG_LISTS
from cimnet.data.io.second_modality import THERMAL
from cimnet.data.io.split_lists import ALL, list_text
from cimnet.data.io.thermal_scaling import ThermalRange
from cimnet.errors import DataError
from cimnet.utils.files import require_apart, require_stageable, staged_folder
from cimnet.utils.pool import Progress, run_in_processes


def convert(
    source: str | Path,
    target: str | Path,
    to: str,
    *,
    layout: str = "auto",
    classes: str | Sequence[str] | None = None,
    class_map: Mapping[str, str] | None = None,
    thermal: Literal["keep", "scale"] = "keep",
    thermal_range: ThermalRange | None = None,
    force_range: bool = False,
    splits: Sequence[str] | Mapping[str, str] | None = None,
    broken: Broken = "keep",
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write the data set in `source` into the new folder `target`, in another layout; nothing is left there on failure.

    Images whose pixels do not change are copied, if the target's files may have that format: any in folder, colors and
    coco_panoptic; JPEG or PNG and TIFF for thermal in cart; else PNG. All others become PNG or TIFF, without loss.
    Bands that the source's classes.yaml chooses become files of their own, deep colours 8 bits by its rgb_range.
    8-bit thermal stays 8 bit, 16-bit stays 16-bit, temperatures (.npy, float TIFF, radiometric JPEG) become float32
    TIFF. mfnet, kust4k, msrs, pst900 and fmb hold 8 bits alone: other values need thermal="scale". pst900_raw and cart
    hold 16-bit counts alone, which nothing can be made into. Labels become 8-bit PNG files with the target's values,
    255 (cart: 0) where ignored. Names that hold folders have "_" for "/" in layouts without; in cart, NAME without "_"
    becomes NAME_0. truth/ and other files are left behind.

    Args:
        to: a name in `LAYOUTS`, or "colors": the layout folder with labels in the classes' colours.
        layout, classes, thermal_range, broken: as in `open_dataset`, of the source.
        class_map: name in the target by name in the source, or "ignore"; others keep their names.
        thermal: "scale" turns thermal values into 8 bits by the source's thermal range. More than 5 % of an
            image's values outside of it give a warning.
        force_range: whether to scale images with half of their values or more outside the range.
        splits: names of the splits to take, or their new names by name; "all": pairs of none of the others. None: every
            one. Layouts with folders by split, and coco_panoptic, need a split for every pair.
        workers: processes.
        progress: called with the number of finished pairs and the total.

    Returns:
        The target.

    Raises:
        CimnetError: `target` is not empty, lies inside `source`, or cannot be written; or a worker process was killed.
        DataError: an unknown layout, a source that cannot be read, classes without a partner, thermal values or pairs
            that the target cannot hold or that lie outside the range.
    """
    source, target = Path(source), Path(target).absolute()
    if thermal not in ("keep", "scale") or workers < 1:
        raise DataError(f"thermal={thermal!r}, workers={workers}: thermal is keep or scale, and one worker is needed")
    require_apart(target, source)
    require_stageable(target)
    names = dict(splits) if isinstance(splits, Mapping) else None if splits is None else {s: s for s in splits}
    contents = read_contents(
        source,
        None if names is None else list(names),
        layout=layout,
        classes=classes,
        thermal_range=thermal_range,
        broken=broken,
    )
    dataset = contents.dataset
    if dataset.second != THERMAL:
        raise DataError(f"{source}: its second images are {dataset.second}; `data convert` writes thermal data sets")
    chosen = choose_target(to, ClassList(dataset.classes, dataset.colors), class_map, source)
    targets = _new_splits(contents.splits, names or {})
    places = place_pairs(list(contents.pairs), targets, chosen, source)
    list_text([place.id for place in places.values()])  # before the work
    with staged_folder(target) as part:
        job = Job(part, _reader(dataset), chosen, thermal == "scale", force_range)
        tasks = [(pair, places[name]) for name, pair in contents.pairs.items()]
        written = run_in_processes(
            partial(write_pair, job), tasks, workers, name=lambda task: task[1].id, progress=progress
        )
        _describe(job, contents, written)
        _write_lists(job, contents, targets, places)
        _check(job, contents, targets, places, target)
    return target


def _new_splits(splits: Mapping[str, list[str]], names: Mapping[str, str]) -> dict[str, list[str]]:
    """Ids by split of the target; "all" holds those of no other split."""
    held = {name for split, ids in splits.items() if split != ALL for name in ids}
    found: dict[str, dict[str, None]] = {}
    for split, ids in splits.items():
        mine = ids if split != ALL else [name for name in ids if name not in held]
        found.setdefault(names.get(split, split), {}).update(dict.fromkeys(mine))
    return {split: list(ids) for split, ids in found.items() if split != ALL and ids}


def _reader(dataset: RGBTDataset) -> RGBTDataset:
    """The data set without its pairs: what a worker needs to read one."""
    reader = copy.copy(dataset)
    reader.pairs, reader.ids, reader.scenes, reader.flags = [], [], [], []
    return reader


def _write_lists(
    job: Job, contents: Contents, splits: Mapping[str, list[str]], places: Mapping[str, Destination]
) -> None:
    """Write lists of scenes and flags, and split lists unless a folder already states the split."""
    pairs = contents.pairs
    lists = {}
    for split, names in splits.items():
        listed = [places[name].id for name in names]
        if not job.target.in_folders or listed != _in_folder(job.target, split, places):
            lists[split] = listed
    for scene in sorted({pair.scene for pair in pairs.values()} - {""}):
        folder = "" if scene in SCENE_LISTS else "scenes/"
        lists[folder + scene] = [places[name].id for name, pair in pairs.items() if pair.scene == scene]
    for flag, list_name in FLAG_LISTS.items():
        flagged = [places[name].id for name, pair in pairs.items() if flag in pair.flags]
        if flagged or (flag in BROKEN_FLAGS and contents.dataset.broken_known):
            lists[list_name] = flagged
    for list_name, ids in lists.items():
        path = job.folder / f"{list_name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(list_text(ids), encoding="utf-8")


def _in_folder(target: Target, split: str, places: Mapping[str, Destination]) -> list[str]:
    """Ids of the pairs that lie in the folder or JSON file of a split, in the order in which they are read."""
    ids = [place.id for place in places.values() if place.split == split]
    return ids if target.name == PANOPTIC else sorted(ids)


def _describe(job: Job, contents: Contents, written: Sequence[Written]) -> None:
    """classes.yaml, where there is something to say, and the JSON files of panoptic labels."""
    target, dataset = job.target, contents.dataset
    content: dict[str, Any] = {}
    if target.described:
        entries = zip(target.classes.names, target.classes.colors, strict=True)
        content["classes"] = [{"name": name, "color": "#{:02x}{:02x}{:02x}".format(*color)} for name, color in entries]
    if target.name == COLORS:
        content["label_format"] = "colors"
    if dataset.scaling.low is not None and not job.scale:
        content["thermal_range"] = asdict(dataset.scaling)
    about = _about(dataset)
    content |= about if target.described or target.name == PANOPTIC else dataset.file.about
    if content:
        text = yaml.safe_dump(content, default_flow_style=None, sort_keys=False, allow_unicode=True, width=120)
        (job.folder / "classes.yaml").write_text(text, encoding="utf-8")
    if target.name == PANOPTIC:
        for split in dict.fromkeys(pair.place.split for pair in written):
            text = panoptic_json(target.classes, [pair for pair in written if pair.place.split == split], about)
            (job.folder / f"panoptic_{split}.json").write_text(text, encoding="utf-8")


def _about(dataset: RGBTDataset) -> dict[str, str]:
    """Return licence and origin as the folder gives them, otherwise as the layout of a published data set does."""
    if dataset.file.about or (dataset.root / "synth.json").is_file():  # scenes made up by cimnet are of no one's
        return dataset.file.about
    info = dataset.info
    about = {"licence": info.licence if info.home else "", "citation": info.citation, "home": info.home}
    return {key: text for key, text in about.items() if text}


def _check(
    job: Job, contents: Contents, splits: Mapping[str, list[str]], places: Mapping[str, Destination], target: Path
) -> None:
    """Open what was written: its names, scenes and flags are those of the source."""
    layout = job.target.layout
    found = layout.index(job.folder).names()
    expected = sorted(place.id for place in places.values())
    wrong = sorted(set(found).symmetric_difference(expected))
    for split, names in splits.items():
        dataset = layout(job.folder, split, require_labels=False)
        pairs = [contents.pairs[name] for name in names]
        there = [(places[name].id, pair.scene, pair.flags) for name, pair in zip(names, pairs, strict=True)]
        read = list(zip(dataset.ids, dataset.scenes, dataset.flags, strict=True))
        wrong += [str(pair[0]) for pair, other in zip(there, read, strict=False) if pair != other]
        wrong += [split] if len(there) != len(read) else []
    if wrong:
        raise DataError(f"{target}: {wrong[0]} would not be read back as written in {job.target.name}; rename it")
