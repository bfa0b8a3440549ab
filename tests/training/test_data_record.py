"""``--resume`` goes on with the same data, or says what has changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.convert import convert
from cimnet.data import open_dataset
from cimnet.data.pairs import Pair
from cimnet.errors import CheckpointError, ConfigError, DataError
from cimnet.training import train
from cimnet.training.data_record import (
    FILE,
    Record,
    check_record,
    checksum_of_all,
    checksums,
    describe_trained,
    how_read,
    record_of,
    trained_on,
    write_record,
)
from tests.conftest import pixel_recipe
from tests.fakes.layouts import make_folder


def record(root: Path) -> Record:
    train, val = (open_dataset(root, split) for split in ("train", "val"))
    train.check()
    return record_of(train, val)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", n=8)


@pytest.fixture
def run(tmp_path: Path, root: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    write_record(folder, record(root), "mark")
    return folder


def lines(root: Path, change: Callable[[list[str]], list[str]]) -> None:
    path = root / "train.txt"
    path.write_text("\n".join(change(path.read_text().split())) + "\n")


def overwrite(path: Path) -> None:
    """Another picture of the same size, in a file of the same length and time."""
    before = path.stat()
    with Image.open(path) as image:
        values = np.asarray(image)
    Image.fromarray(values[::-1].copy()).save(path)
    data = path.read_bytes()
    path.write_bytes(data + bytes(max(0, before.st_size - len(data))))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_same_data_go_on(root: Path, run: Path) -> None:
    assert check_record(run, record(root), False) is None


def test_a_copy_of_the_data_is_the_same_data(root: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)  # other times
    assert check_record(run, record(tmp_path / "copy"), False) is None


def test_a_file_that_is_gone_is_named(root: Path) -> None:
    pairs = open_dataset(root, "train").pairs
    assert pairs[1].thermal is not None
    pairs[1].thermal.unlink()
    with pytest.raises(DataError, match=f"{pairs[1].thermal}: cannot be read"):
        checksum_of_all(pairs)


def test_a_run_without_a_record_goes_on(root: Path, tmp_path: Path) -> None:
    assert check_record(tmp_path, record(root), False) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: lines(root, lambda names: names[1:]), "split train: 1 removed"),
        (lambda root: lines(root, lambda names: names[::-1]), "split train: another order"),
        (lambda root: overwrite(next((root / "labels").iterdir())), r"split \w+: 1 with other files"),
        (lambda root: overwrite(next((root / "rgb").iterdir())), r"split \w+: 1 with other files"),
        (lambda root: overwrite(next((root / "thermal").iterdir())), r"split \w+: 1 with other files"),
    ],
    ids=["removed", "reversed", "label", "rgb", "thermal"],
)
def test_other_pairs_need_a_word(root: Path, run: Path, change: Callable[[Path], object], words: str) -> None:
    change(root)
    with pytest.raises(ConfigError, match=rf"have changed: {words}.*--changed-data"):
        check_record(run, record(root), False)
    assert "split" in (check_record(run, record(root), True) or "")


STATISTICS = '<Metadata><MDI key="STATISTICS_MAXIMUM">9</MDI></Metadata>'


def beside(path: Path, content: str) -> Path:
    """FILE.aux.xml with the content of band 1."""
    side = path.with_name(f"{path.name}.aux.xml")
    side.write_text(f'<PAMDataset><PAMRasterBand band="1">{content}</PAMRasterBand></PAMDataset>')
    return side


def mask(path: Path) -> None:
    with Image.open(path) as image:
        Image.new("L", image.size).save(path.with_name(f"{path.name}.msk"), "TIFF")


@pytest.mark.parametrize("folder", ["rgb", "thermal"])
@pytest.mark.parametrize("put", [mask, lambda path: beside(path, "<NoDataValue>7</NoDataValue>")], ids=["mask", "xml"])
def test_a_file_beside_an_image_makes_another_pair(
    root: Path, run: Path, folder: str, put: Callable[[Path], object]
) -> None:
    put(next((root / folder).glob("000.*")))
    with pytest.raises(ConfigError, match=r"have changed: split train: 1 with other files \(000\).*--changed-data"):
        check_record(run, record(root), False)


def test_the_same_mask_beside_the_other_image_is_another_pair(root: Path) -> None:
    images = [next((root / folder).glob("000.*")) for folder in ("rgb", "thermal")]
    found = []
    for path in images:
        mask(path)
        found.append(record(root)["train"]["000"])
        path.with_name(f"{path.name}.msk").unlink()
    assert len(set(found)) == 2


def test_statistics_beside_an_image_change_nothing(root: Path, run: Path) -> None:
    """QGIS writes them when it shows an image."""
    thermal = next((root / "thermal").glob("000.*"))
    beside(thermal, STATISTICS)
    assert check_record(run, record(root), False) is None
    beside(thermal, "<NoDataValue>7</NoDataValue>")
    with_nodata = record(root)
    beside(thermal, f"<NoDataValue>7</NoDataValue>{STATISTICS}")
    assert record(root) == with_nodata


def test_checksums_of_earlier_versions_hold(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("rgb", "thermal", "label")]
    for number, path in enumerate(files):
        path.write_bytes(bytes(range(100 + number)) * 100)
    rgb, thermal, label = files
    pairs = [Pair("a", rgb, thermal, label), Pair("b", rgb, None, None, mirrored=True, meaning="0123456789abcdef")]
    assert checksums(pairs) == {"a": "ee3f441e3930ec73", "b": "d197fbbd491004030123456789abcdef"}


def test_an_added_pair(root: Path, run: Path) -> None:
    for folder in ("rgb", "thermal", "labels"):
        source = next((root / folder).glob("000.*"))
        (root / folder / f"new{source.suffix}").write_bytes(source.read_bytes())
    lines(root, lambda names: [*names, "new"])
    with pytest.raises(ConfigError, match=r"split train: 1 added \(new\)"):
        check_record(run, record(root), False)


def test_exchanged_class_names_are_refused_whatever_is_said(root: Path, run: Path) -> None:
    path = root / "classes.yaml"
    first, second = json.loads((run / FILE).read_text())["classes"][:2]
    text = path.read_text()
    path.write_text(text.replace(first, "@").replace(second, first).replace("@", second))
    for said in (False, True):
        with pytest.raises(ConfigError, match=r"data\.json: made with other settings: classes \(.* then, .* now\)"):
            check_record(run, record(root), said)


def test_another_thermal_type_is_refused(root: Path, run: Path) -> None:
    for path in (root / "thermal").iterdir():
        with Image.open(path) as image:
            values = np.asarray(image).astype(np.uint16) * 257
        Image.fromarray(values).save(path)
    with pytest.raises(ConfigError, match=r"settings: thermal_dtype \(uint8 then, uint16 now\)"):
        check_record(run, record(root), True)


def test_another_thermal_range_is_refused(root: Path, run: Path) -> None:
    with (root / "classes.yaml").open("a") as file:
        file.write("thermal_range: [10, 200]\n")
    with pytest.raises(ConfigError, match="settings: scaling"):
        check_record(run, record(root), True)


READ_OTHERWISE = {
    "label_table": ("label_table: {0: 0, 1: 1, 2: ignore}", "labels"),
    "label_table that stops palettes": ("label_table: {0: 0, 1: 1, 2: 2}", "labels"),
    "ignore_index": ("ignore_index: 2", "labels"),
    "border": ("border: 4", r"border \(0, 0, 0, 0 then, 4, 4, 4, 4 now\)"),
    "bands": ("bands: {rgb: [3, 2, 1]}", "bands"),
}
"""Lines of classes.yaml that change what the same files mean, and the field that is named."""


@pytest.mark.parametrize(("line", "named"), READ_OTHERWISE.values(), ids=READ_OTHERWISE)
def test_files_that_are_read_in_another_way_are_refused(root: Path, run: Path, line: str, named: str) -> None:
    before = record(root)
    with (root / "classes.yaml").open("a") as file:
        file.write(f"{line}\n")
    now = record_of(*(open_dataset(root, split) for split in ("train", "val")))
    assert now["train"] == before["train"]  # the files are the same
    for changed_data in (False, True):
        with pytest.raises(ConfigError, match=rf"data\.json: made with other settings: {named}"):
            check_record(run, {**now, "thermal_dtype": before["thermal_dtype"]}, changed_data)


def test_colours_that_tell_no_ids_may_change(root: Path) -> None:
    path = root / "classes.yaml"
    path.write_text(path.read_text() + "label_table: {0: 0, 1: 1, 2: 2}\n")
    before, names = record(root), open_dataset(root, "train").classes
    colored = ", ".join(f"{{name: {name}, color: [{k}, 9, 9]}}" for k, name in enumerate(names))
    path.write_text(f"classes: [{colored}]\nlabel_table: {{0: 0, 1: 1, 2: 2}}\n")
    assert record(root) == before
    path.write_text(f"classes: [{colored}]\nlabel_format: colors\n")
    train = open_dataset(root, "train")
    assert how_read(train)["labels"] != before["labels"]


def test_a_record_of_an_earlier_version_goes_on(root: Path, run: Path) -> None:
    """It says nothing of border, bands and label values."""
    path, known = run / FILE, ("classes", "thermal_dtype", "scaling", "train", "val", "run")
    path.write_text(json.dumps({name: json.loads(path.read_text())[name] for name in known}))
    with (root / "classes.yaml").open("a") as file:
        file.write("border: 4\n")
    now = record(root)
    assert check_record(run, now, False) is None
    write_record(run, now, "mark")  # from here on it does
    assert json.loads(path.read_text())["border"] == [4, 4, 4, 4]
    with (root / "classes.yaml").open("a") as file:
        file.write("ignore_index: 2\n")
    with pytest.raises(ConfigError, match="settings: labels"):
        check_record(run, record(root), False)


def test_segments_of_coco_that_mean_another_class_are_other_files(root: Path, tmp_path: Path) -> None:
    there = convert(root, tmp_path / "there", "coco_panoptic")
    path, run = there / "panoptic_train.json", tmp_path / "run"
    write_record(run, record(there), "mark")
    content = json.loads(path.read_text())
    info = content["annotations"][0]["segments_info"][0]
    info["category_id"] = info["category_id"] % 3 + 1
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"have changed: split train: 1 with other files \(000\)"):
        check_record(run, record(there), False)
    assert trained_on(run, open_dataset(there, "train").pairs) == open_dataset(there, "train").ids
    assert checksum_of_all(open_dataset(there, "train").pairs).keys() == {"data", "segments"}
    old = json.loads((run / FILE).read_text())  # as an earlier version wrote it
    for split in ("train", "val"):
        old[split] = {name: digest[:16] for name, digest in old[split].items()}
    (run / FILE).write_text(json.dumps(old))
    assert check_record(run, record(there), False) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"train": 3}'])
def test_a_damaged_record_is_named(root: Path, run: Path, text: str) -> None:
    (run / FILE).write_text(text)
    with pytest.raises(ConfigError, match=r"data\.json: (does not say|made with other settings: classes)"):
        check_record(run, record(root), True)


def test_a_record_of_damaged_pairs_is_named(root: Path, run: Path) -> None:
    (run / FILE).write_text(json.dumps({**json.loads((run / FILE).read_text()), "train": 3}))
    with pytest.raises(ConfigError, match=r"data\.json cannot be read"):
        check_record(run, record(root), True)


def test_a_run_goes_on_with_changed_data_where_it_is_told_to(root: Path, tmp_path: Path, pixel: None) -> None:
    recipe = pixel_recipe(root)
    folder = tmp_path / "trained"
    train(recipe, folder)
    longer = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"epochs": recipe.training.epochs + 1})}
    )
    lines(root, lambda names: names[1:])
    with pytest.raises(ConfigError, match=r"split train: 1 removed \(000\)"):
        train(longer, folder, resume=True)
    train(longer, folder, resume=True, changed_data=True)
    starts = json.loads((folder / "environment.json").read_text())["starts"]
    assert [start.get("changed data") for start in starts] == [None, "split train: 1 removed (000)"]
    train(longer, folder, resume=True)  # what it went on with is its data now


def test_a_finished_run_keeps_the_record_of_what_it_was_trained_on(root: Path, tmp_path: Path, pixel: None) -> None:
    recipe, folder = pixel_recipe(root, training={"epochs": 1}), tmp_path / "trained"
    train(recipe, folder)
    before = (folder / FILE).read_bytes()
    lines(root, lambda names: names[1:])
    train(recipe, folder, resume=True, changed_data=True)  # no step is left
    assert (folder / FILE).read_bytes() == before


def test_a_best_model_that_is_gone_is_chosen_again(root: Path, tmp_path: Path, pixel: None) -> None:
    recipe = pixel_recipe(root)
    folder = tmp_path / "trained"
    best = train(recipe, folder)
    best.unlink()
    with pytest.raises(CheckpointError, match=r"best\.safetensors is missing and the run is complete"):
        train(recipe, folder, resume=True)
    longer = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"epochs": recipe.training.epochs + 1})}
    )
    with pytest.warns(UserWarning, match=r"best\.safetensors is missing"):
        assert train(longer, folder, resume=True).is_file()


def test_changed_data_without_resume_is_refused(cli: Callable[..., Any], tmp_path: Path) -> None:
    ran = cli("train", "scenes", "--changed-data", "--out", tmp_path / "run")
    assert ran.code != 0
    assert "--changed-data: is for a run that is resumed; add --resume" in ran.err
    assert not (tmp_path / "run").exists()


def test_pairs_of_the_training_are_known_by_their_files(root: Path, run: Path, tmp_path: Path) -> None:
    train, val = (open_dataset(root, split) for split in ("train", "val"))
    assert trained_on(run, train.pairs) == train.ids
    assert trained_on(run, val.pairs) == []
    assert trained_on(run, open_dataset(make_folder(tmp_path / "other", n=8, seed=1), "train").pairs) == []
    assert trained_on(tmp_path, train.pairs) == []  # no record
    (run / FILE).write_text("[1, 2]")  # somebody else's
    assert trained_on(run, train.pairs) == []
    (run / FILE).write_text("{")
    with pytest.raises(ConfigError, match=r"data.json: what the model was trained on cannot be read; restore or"):
        trained_on(run, train.pairs)


def test_a_fold_is_told_its_own_test_part(root: Path, run: Path, tmp_path: Path) -> None:
    train = open_dataset(root, "train")
    fold = tmp_path / "seed0" / "fold12"
    fold.mkdir(parents=True)
    shutil.copyfile(run / FILE, fold / FILE)
    advice = "give a split of other pairs"
    assert str(describe_trained(run, train)).endswith(advice)
    assert str(describe_trained(fold, train)).endswith(
        f"{advice}, for this fold its own test part, such as folds/12/test"
    )
    assert describe_trained(fold, open_dataset(root, "val")) is None
