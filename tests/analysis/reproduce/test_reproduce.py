"""The paper's tables end to end on tiny fakes: train, score, print, go on, refuse."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import cimnet
from cimnet.analysis.paper_values import KUST4K, TABLE2
from cimnet.analysis.reproduce import _variants, reproduce
from cimnet.analysis.reproduce.paper_tables import Measured, table2
from cimnet.analysis.reproduce.runs import Plan, Variant
from cimnet.checkpoint import load_checkpoint, save_checkpoint
from cimnet.data import open_dataset
from cimnet.errors import CimnetError, ConfigError, DataWarning
from cimnet.models import create_model
from cimnet.models.complexity import measure_budget
from cimnet.models.zoo import PUBLICATIONS
from cimnet.models.zoo.network import ZooNetwork
from cimnet.training.recipe import load_recipe, parse_recipe
from cimnet.training.recipe_files import apply_override
from cimnet.training.recipe_sections import ModelConfig
from cimnet.training.states import state_files
from cimnet.utils.locks import OutputLock
from tests.conftest import write_recipe
from tests.fakes.layouts import make_kust4k, make_mfnet, write_list

SHORT: dict[str, Any] = {"epochs": 1, "batch_size": 2, "evaluate_every": 1}


@pytest.fixture(scope="module")
def kust4k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kust4K's layout in which the test split has all the groups that Tables IV and V need."""
    root = make_kust4k(tmp_path_factory.mktemp("kust4k"), 12)
    test = (root / "test.txt").read_text().split()
    write_list(root / "broke_RGB.txt", test[:1])
    write_list(root / "broke_TIR.txt", test[1:2])
    write_list(root / "weakly_aligned.txt", test[1:])
    (root / "broken_in_train_3.txt").unlink()
    return root


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, kust4k: Path) -> str:
    return str(write_recipe(tmp_path_factory.mktemp("recipe") / "tiny.yaml", kust4k, training=SHORT))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, kust4k: Path, recipe: str) -> Path:
    """A trained model to score without training."""
    out = tmp_path_factory.mktemp("model")
    Plan(recipe, kust4k, out, [0]).run([Variant("tiny")])
    return out / "tiny_seed0"


def _other_seed(model: Path, folder: Path) -> Path:
    """A model like this one with other weights."""
    network, info = load_checkpoint(model)
    for parameter in network.parameters():
        parameter.data += 1e-3
    save_checkpoint(folder / "other.safetensors", network, info)
    return folder / "other.safetensors"


def _cells(text: str, begin: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {begin}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.slow
def test_table3_trains_rows_and_goes_on(tmp_path: Path, kust4k: Path, recipe: str) -> None:
    said: list[str] = []
    reproduce("table3", kust4k, tmp_path, budget=recipe, seeds=[0], rows=[1, 8], say=said.append)
    assert [line.split(",")[0] for line in said if "mIoU" in line] == ["row1", "row8"]
    before = (tmp_path / "row1_seed0" / "best.safetensors").stat().st_mtime_ns
    text = reproduce("table3", kust4k, tmp_path, budget=recipe, seeds=[0, 1], rows=[8])
    assert (tmp_path / "row1_seed0" / "best.safetensors").stat().st_mtime_ns == before
    assert text == (tmp_path / "table3.md").read_text(encoding="utf-8")
    scores = json.loads((tmp_path / "table3.json").read_text())
    assert {name: list(found) for name, found in scores.items() if found} == {"row1": ["0"], "row8": ["0", "1"]}
    first, last = _cells(text, "1 "), _cells(text, "8 ")
    assert first[1:5] == ["", "", "", ""]
    assert last[1:5] == ["✓"] * 4
    runs = [100 * scores["row8"][seed]["miou"] for seed in "01"]
    assert float(last[5].split(" ± ")[0]) == pytest.approx(sum(runs) / 2, abs=0.051)
    assert float(last[6]) == pytest.approx(runs[0] - 100 * scores["row1"]["0"]["miou"], abs=0.051)  # of seed 0 alone
    assert (first[7], last[7]) == ("1", "2")
    assert (first[8], last[8], last[9]) == ("70.5", "77.5", "+7.0")
    assert _cells(text, "3*")[5:8] == ["–", "", "0"]
    assert _cells(text, "7*")[2] == "(✓)"


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_one_in_its_first_epoch_begins_again(
    tmp_path: Path, kust4k: Path, recipe: str
) -> None:
    """The scores are those of a run without interruption."""
    whole, broken = Plan(recipe, kust4k, tmp_path / "a", [0], ["training.epochs=2"]), tmp_path / "b"
    whole.run([Variant("x")])
    expected = whole.found(Variant("x"))[0]

    def stop(row: dict[str, float]) -> None:
        if "miou" not in row and row["epoch"] == epoch:
            raise KeyboardInterrupt

    plan = Plan(recipe, kust4k, broken, [0], ["training.epochs=2"], report=stop)
    for epoch in (1, 2):  # noqa: B007  # read by stop
        with pytest.raises(KeyboardInterrupt):
            plan.run([Variant("x")])
    assert (broken / "x_seed0" / "last.pt").is_file()
    on = Plan(recipe, kust4k, broken, [0], ["training.epochs=2"])
    on.run([Variant("x")])
    assert on.found(Variant("x"))[0] == expected


def test_a_finished_run_without_its_state_is_scored_not_repeated(
    tmp_path: Path, kust4k: Path, recipe: str, model: Path
) -> None:
    folder = tmp_path / "tiny_seed0"
    shutil.copytree(model, folder)
    for state in state_files(folder):
        state.unlink()
    before = (folder / "best.safetensors").read_bytes()
    Plan(recipe, kust4k, tmp_path, [0], split="val").run([Variant("tiny")])
    assert (folder / "best.safetensors").read_bytes() == before
    assert (folder / "val.json").is_file()
    assert (folder / "test.json").is_file()


def test_test_images_beyond_the_range_of_training_do_not_end_the_table_after_it(
    tmp_path: Path, kust4k: Path, recipe: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(kust4k, data)
    test_set = open_dataset(data, "test")
    hot = test_set.pairs[0].thermal
    assert hot is not None
    with Image.open(hot) as image:
        size = image.size[::-1]
    Image.fromarray(np.random.default_rng(0).integers(230, 256, size, np.uint8)).save(hot)
    override = "data.thermal_range={kind: range, low: 0, high: 220}"
    with pytest.warns(DataWarning, match=r"outside the range of training.*clipped"):
        Plan(recipe, data, tmp_path / "out", [0], [override]).run([Variant("tiny")])
    assert (tmp_path / "out" / "tiny_seed0" / "test.json").is_file()


def test_rows_switch_their_parts(kust4k: Path, recipe: str) -> None:
    """Each row's settings build a model that has what the row marks, and nothing else."""
    from cimnet.analysis.paper_values import TABLE3
    from cimnet.models import CIMNet

    for row in TABLE3:
        settings = load_recipe(recipe, row.overrides())
        built = create_model(settings.model.name, 9, **settings.model.options())
        assert isinstance(built, CIMNet)
        assert (built.cipa.mi_head is not None) == row.mir
        assert (built.cipa.offset is not None) == (row.msm and row.swr)
        assert all((stage.spatial is not None) == row.swr for stage in built.scsfr)
        assert all((stage.channel is not None) == row.cwr for stage in built.scsfr)
        assert (len(built.write_back_rgb) > 0) == (row.swr or row.cwr)


def test_table2(tmp_path: Path, kust4k: Path, model: Path) -> None:
    text = reproduce("table2", kust4k, tmp_path, checkpoints=[model])
    scores = json.loads((tmp_path / "table2.json").read_text())["here"][0]
    assert _cells(text, " |")[1:3] == ["here", "CIMNet, ResNet-101, paper"]
    assert _cells(text, "**mIoU**")[1:3] == [f"**{100 * scores['miou']:.1f}**", "77.5"]
    assert _cells(text, "road")[1:3] == [f"{100 * scores['iou']['road']:.1f}", "95.7"]
    budget = measure_budget(cimnet.load(model).model, (480, 640))
    assert _cells(text, "M parameters")[1:3] == [f"{budget.parameters / 1e6:.1f}", "110.9"]
    assert _cells(text, "GMACs")[1:3] == [f"{budget.macs / 1e9:.1f}", "132.4"]
    printed = [_cells(text, name.replace("_", " "))[2] for name in KUST4K]
    assert printed == ["95.7", "85.8", "68.3", "90.2", "88.6", "86.2", "34.9", "61.0"]
    assert _cells(text, "weakly aligned")[1] == "2"
    assert "480×640" in text
    assert "test_resnet" in text


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of a published network's original code."""
    monkeypatch.setitem(PUBLICATIONS, "small_cmx_mit_b0", PUBLICATIONS["cmx_mit_b2"])
    network = cimnet.create_model("small_cmx_mit_b0", 9)
    assert isinstance(network, ZooNetwork)
    torch.save({"model": network.official_state()}, tmp_path / "official.pth")
    return tmp_path / "official.pth"


@pytest.mark.slow  # two models are counted
def test_several_models_beside_each_other(tmp_path: Path, kust4k: Path, model: Path, official: Path) -> None:
    own = cimnet.load(model).info.name
    given = [f"{own}={model}", f"small_cmx_mit_b0={official}", f"{own}={_other_seed(model, tmp_path)}"]
    text = reproduce("table2", kust4k, tmp_path / "out", checkpoints=given)
    scores = json.loads((tmp_path / "out" / "table2.json").read_text())
    assert {name: len(found) for name, found in scores.items()} == {own: 2, "small_cmx_mit_b0": 1}
    titles = [f"{own}, here, 2 runs", "small_cmx_mit_b0, here", "CIMNet, ResNet-101, paper"]
    assert _cells(text, " |")[1:4] == titles
    other = scores["small_cmx_mit_b0"][0]
    assert _cells(text, "**mIoU**")[2] == f"**{100 * other['miou']:.1f}**"
    assert _cells(text, "weakly aligned")[3] == f"{100 * other['groups']['weakly_aligned']['miou']:.1f}"


def test_the_papers_column_stands_beside_its_model() -> None:
    iou = dict.fromkeys(KUST4K, 0.5)
    scores = [{"iou": iou, "miou": 0.5, "groups": {}}]
    text = table2([Measured("cmx_mit_b4", scores, 139.9, 157.6), Measured("sigma_base", scores, 1, 2)])
    titles = ["cmx_mit_b4, here", "CMX, MiT-B4, paper", "sigma_base, here", "Sigma, VMamba-B, paper"]
    assert _cells(text, " |")[1:5] == titles
    assert _cells(text, "**mIoU**")[1:5] == ["**50.0**", "72.9", "**50.0**", "75.3"]
    assert len(_cells(text, "road")) == 1 + 2 + len(TABLE2)


def test_names_of_checkpoints(tmp_path: Path, kust4k: Path, model: Path, official: Path) -> None:
    own = cimnet.load(model).info.name
    with pytest.raises(ConfigError, match=f"holds a {own}; give that name"):
        reproduce("table2", kust4k, tmp_path / "out", checkpoints=[f"cimnet_resnet18={model}"])
    with pytest.raises(ConfigError, match=r"table4: .*official weights.*cimnet import"):
        reproduce("table4", kust4k, tmp_path / "out", checkpoints=[f"small_cmx_mit_b0={official}"])
    with pytest.raises(CimnetError, match="cannot be read"):
        reproduce("table2", kust4k, tmp_path / "out", checkpoints=[f"cmx_mit_b2={tmp_path / 'nothing.pth'}"])
    shutil.copy(model / "best.safetensors", tmp_path / "copy.safetensors")
    with pytest.raises(ConfigError, match=r"copy\.safetensors: the same model as .*, not another run; give it once"):
        reproduce("table4", kust4k, tmp_path / "out", checkpoints=[model, tmp_path / "copy.safetensors"])


def test_models_to_train(tmp_path: Path, kust4k: Path, recipe: str) -> None:
    """The recipe's own model shares its folder with other tables; options of one model do not reach a network that has
    its own; what cannot be built is refused before anything is trained."""
    model = load_recipe(recipe).model
    variants = _variants(model, [model.name, "small_cmx_mit_b0", "addition_resnet18"])
    assert variants[model.name] == Variant("cimnet")
    cleared = {f"model.{option}=null" for option in model.options()} - {"model.pretrained=null"}
    assert set(variants["small_cmx_mit_b0"].overrides) == {"model.name=small_cmx_mit_b0", *cleared}
    assert variants["addition_resnet18"].overrides == ("model.name=addition_resnet18",)
    plan = Plan(recipe, kust4k, tmp_path)
    assert plan.settings(variants["small_cmx_mit_b0"], 0).model.options() == {"pretrained": False}
    with pytest.raises(ConfigError, match="model 'cmx_mit_b9' is unknown"):
        reproduce("table2", kust4k, tmp_path / "out", budget=recipe, models=["cmx_mit_b9"])
    assert not list((tmp_path / "out").glob("*_seed*"))


def test_options_of_a_published_network_stay_with_it() -> None:
    model = ModelConfig(name="small_cmx_mit_b0", pretrained=False, channel_order="bgr", head_eps=1e-3)
    others = ["addition_resnet18", "small_eaefnet_resnet18"]
    variants = _variants(model, [model.name, *others])
    assert variants[model.name].overrides == ()
    for name in others:
        recipe = parse_recipe({"data": {"root": "x"}, "model": model.model_dump()}, "x").model_dump()
        for override in variants[name].overrides:
            apply_override(recipe, override)
        options = parse_recipe(recipe, "x").model.options()
        assert ("channel_order" in options) == name.startswith("small_")
        assert create_model(name, 3, **options)


@pytest.mark.slow
def test_another_model_is_trained_by_the_same_recipe(tmp_path: Path, kust4k: Path, recipe: str) -> None:
    text = reproduce("table2", kust4k, tmp_path, budget=recipe, seeds=[0], models=["small_cmx_mit_b0"])
    assert (tmp_path / "small_cmx_mit_b0_seed0" / "test.json").is_file()
    assert "small_cmx_mit_b0, recipe" in text


def test_table4(tmp_path: Path, kust4k: Path, model: Path) -> None:
    text = reproduce("table4", kust4k, tmp_path, checkpoints=[model, _other_seed(model, tmp_path)])
    scores = json.loads((tmp_path / "table4.json").read_text())["here"][0]
    weak = scores["groups"]["weakly_aligned"]
    road = _cells(text, "road")
    assert road[1] == f"{100 * weak['iou']['road']:.1f} ± 0.0"
    assert float(road[2].split(" ± ")[0]) == pytest.approx(
        100 * (weak["iou"]["road"] - scores["iou"]["road"]), abs=0.051
    )
    assert road[3:] == ["95.4", "94.6", "94.9"]
    assert _cells(text, "pairs")[1] == "2"
    assert "car -0.7" in text  # as the paper's text says


def test_table5(tmp_path: Path, kust4k: Path, model: Path) -> None:
    text = reproduce("table5", kust4k, tmp_path, checkpoints=[model])
    groups = json.loads((tmp_path / "table5.json").read_text())["here"][0]["groups"]
    for name, flag, paper in (("RGB failure", "rgb_broken", "69.1"), ("thermal failure", "thermal_broken", "46.2")):
        assert _cells(text, name)[1:3] == [f"{100 * groups[flag]['miou']:.1f}", paper]


def test_a_subset_that_is_missing_is_named(tmp_path: Path, kust4k: Path, model: Path) -> None:
    for path in ("broke_TIR.txt", "weakly_aligned.txt"):
        (kust4k / path).rename(tmp_path / path)
    try:
        with pytest.raises(CimnetError, match=r"thermal_broken.*broke_TIR\.txt"):
            reproduce("table5", kust4k, tmp_path / "out", checkpoints=[model])
        with pytest.raises(CimnetError, match=r"weakly_aligned\.txt"):
            reproduce("table4", kust4k, tmp_path / "out", checkpoints=[model])
    finally:
        for path in ("broke_TIR.txt", "weakly_aligned.txt"):
            (tmp_path / path).rename(kust4k / path)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_table6_trains_by_a_recipe(tmp_path: Path) -> None:
    data = make_mfnet(tmp_path / "mfnet", 12)
    recipe = write_recipe(tmp_path / "tiny.yaml", data, training=SHORT)
    text = reproduce("table6", data, tmp_path / "out", budget=str(recipe), seeds=[0])
    scores = json.loads((tmp_path / "out" / "table6.json").read_text())["here"][0]
    assert _cells(text, "**mIoU**")[1:3] == [f"**{100 * scores['miou']:.1f}**", "60.9"]
    assert _cells(text, "guardrail")[2] == "5.1"
    for name in ("day", "night"):
        assert _cells(text, name)[2] == f"{100 * scores['groups'][name]['miou']:.1f}"


def test_another_data_sets_classes_are_refused(tmp_path: Path, trained: Any) -> None:
    with pytest.raises(CimnetError, match=r"table2.*no class 'road'.*; for other classes use `cimnet "):
        reproduce("table2", trained.root, tmp_path, checkpoints=[trained.folder])


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path, kust4k: Path, recipe: str, model: Path) -> None:
    with pytest.raises(ConfigError, match=r"settings: training\.learning_rate \(0\.02 then, 0\.5 now\)"):
        Plan(recipe, kust4k, model.parent, [0], ["training.learning_rate=0.5"]).run([Variant("tiny")])
    moved = tmp_path / "moved"
    shutil.copytree(kust4k, moved)
    Plan(recipe, moved, model.parent, [0], ["data.workers=0"]).run(
        [Variant("tiny")]
    )  # where the data lies does not matter


def test_scores_of_other_data_are_refused(tmp_path: Path, kust4k: Path, recipe: str, model: Path) -> None:
    """A run that is scored is not repeated, but neither is its score taken for that of other images."""
    out, other = tmp_path / "out", tmp_path / "other"
    shutil.copytree(model.parent, out)
    shutil.copytree(kust4k, other)
    plan = Plan(recipe, other, out, [0])
    assert plan.found(Variant("tiny"))
    for split, change in (("test", lambda names: names[1:]), ("train", lambda names: names[::-1])):
        before = (other / f"{split}.txt").read_text()
        write_list(other / f"{split}.txt", change(before.split()))
        with pytest.raises(
            ConfigError, match=rf"test_data\.json: made with other settings: {split} .*choose another --out"
        ):
            Plan(recipe, other, out, [0]).run([Variant("tiny")])
        (other / f"{split}.txt").write_text(before)
    (out / "tiny_seed0" / "test_data.json").unlink()  # scored by an earlier version
    remedy = re.escape(f"remove {out}/*_seed*/test.json to score all runs")
    with pytest.raises(ConfigError, match=rf"does not say how the results here were made.*{remedy}"):
        plan.run([Variant("tiny")])
    (out / "tiny_seed0" / "test.json").unlink()
    plan.run([Variant("tiny")])
    assert plan.found(Variant("tiny"))


def test_scores_of_a_version_that_recorded_less_are_taken(
    tmp_path: Path, kust4k: Path, recipe: str, model: Path
) -> None:
    shutil.copytree(model.parent, tmp_path / "out")
    path = tmp_path / "out" / "tiny_seed0" / "test_data.json"
    record = json.loads(path.read_text())
    del record["labels"]
    path.write_text(json.dumps(record))
    assert Plan(recipe, kust4k, tmp_path / "out", [0]).found(Variant("tiny"))


def test_data_are_compared_without_a_cache(tmp_path: Path, kust4k: Path, recipe: str, model: Path) -> None:
    cache = tmp_path / "cache"
    settings = ["data.cache=disk", f"data.cache_folder={cache}"]
    assert Plan(recipe, kust4k, model.parent, [0], settings).found(Variant("tiny"))
    assert not cache.exists()


def test_damaged_scores_are_named(tmp_path: Path, kust4k: Path, recipe: str) -> None:
    (tmp_path / "tiny_seed0").mkdir()
    (tmp_path / "tiny_seed0" / "test.json").write_text("{")
    with pytest.raises(CimnetError, match=r"test\.json: is damaged"):
        Plan(recipe, kust4k, tmp_path, [0]).run([Variant("tiny")])


def test_a_users_folder_is_not_deleted(tmp_path: Path, kust4k: Path, recipe: str) -> None:
    theirs = tmp_path / "tiny_seed0" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("keep")
    with pytest.raises(CimnetError, match="nothing to resume, it holds no run"):
        Plan(recipe, kust4k, tmp_path, [0]).run([Variant("tiny")])
    assert theirs.read_text() == "keep"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "table1"}, "not a table"),
        ({"table": "table3", "rows": [9]}, "no row 9"),
        ({"table": "table3", "rows": []}, "has no rows"),
        ({"table": "table3", "checkpoints": [Path("x")]}, "table3: .* --checkpoint has nothing to score"),
        ({"table": "table3", "overrides": ["model.swr=false"]}, r"model\.swr=false is set for all rows"),
        ({"table": "table3", "overrides": ["model.mutual_information=off"]}, "is set for all rows"),
        ({"table": "table3", "overrides": ["model.name=rgb_only_resnet18"]}, "needs a cimnet model"),
    ],
)
def test_what_cannot_be_run(tmp_path: Path, kust4k: Path, recipe: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        reproduce(data=kust4k, out=tmp_path, budget=recipe, **arguments)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "table2", "rows": [1]}, "table2: --rows chooses rows of table3"),
        ({"table": "table3", "budget": "paper"}, "leave --budget out: the paper's own recipe is the default"),
        ({"table": "table5", "rows": [], "checkpoints": [Path("x")]}, "table5: --rows"),
        ({"table": "table3", "models": ["cmx_mit_b2"]}, "table3: --model chooses models of table2 and table6"),
        ({"table": "table2", "models": ["x"], "checkpoints": [Path("x")]}, "table2: --model says how to train"),
        ({"table": "table4", "seeds": [0], "checkpoints": [Path("x")]}, "table4: --seeds says how to train"),
        (
            {"table": "table6", "budget": "mfnet_mit_b4", "checkpoints": [Path("x")]},
            "table6: --budget says how to train",
        ),
        ({"table": "table2", "overrides": ["a.b=1"], "checkpoints": [Path("x")]}, "table2: --set says how to train"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        reproduce(data=tmp_path / "none", out=tmp_path / "out", **arguments)
    assert not any(tmp_path.iterdir())


def test_one_process_in_a_folder(tmp_path: Path, kust4k: Path, model: Path) -> None:
    with (
        OutputLock(tmp_path / "out"),
        pytest.raises(CimnetError, match=r"out: another process works in it; wait for it, or choose another --out"),
    ):
        reproduce("table5", kust4k, tmp_path / "out", checkpoints=[model])
    reproduce("table5", kust4k, tmp_path / "out", checkpoints=[model])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["table5.json", "table5.md"]


def test_the_command(tmp_path: Path, cli: Callable[..., Any], kust4k: Path, model: Path) -> None:
    result = cli("reproduce", "table5", "--data", kust4k, "--out", tmp_path, "--checkpoint", model)
    assert result.code == 0
    assert "RGB failure" in result.out
    assert (tmp_path / "table5.md").is_file()
    refused = cli("reproduce", "table3", "--data", kust4k, "--rows", "one")
    assert refused.code == 2
    assert "--rows one" in refused.err
    alone = "seed 3 alone; three runs are --seeds 0,1,2"
    for seeds, said in (("3", True), ("0", False), ("3,4", False)):
        tried = cli("reproduce", "table3", "--data", tmp_path / "none", "--out", tmp_path / "new", "--seeds", seeds)
        assert tried.code == 2
        assert (alone in tried.out + tried.err) == said


def _here(text: str) -> dict[str, tuple[str, ...]]:
    """The rows of all tables of a page: the first cell without marks to the cells that are measured here."""
    rows, columns = {}, []
    for line in text.splitlines():
        cells = [cell.strip().replace("*", "") for cell in line.strip("|").split("|")] if line[:1] == "|" else []
        if not cells:
            columns = []
        elif not columns:
            columns = [k for k, name in enumerate(cells) if k and "paper" not in name]
        elif set(line) - set("|-: "):
            rows[cells[0].lower().replace(" ", "_")] = tuple(cells[k] for k in columns)
    return rows


def test_every_figure_on_a_page_is_that_of_its_json(tmp_path: Path, kust4k: Path, model: Path) -> None:
    def percent(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.1f}"

    for table in ("table2", "table4", "table5"):
        reproduce(table, kust4k, tmp_path, checkpoints=[model])
    scores = json.loads((tmp_path / "table2.json").read_text())["here"][0]
    assert all(json.loads((tmp_path / f"{name}.json").read_text())["here"] == [scores] for name in ("table4", "table5"))
    groups, cost = scores["groups"], measure_budget(cimnet.load(model).model, (480, 640))
    expected = {name: (percent(scores["iou"][name]),) for name in KUST4K} | {"miou": (percent(scores["miou"]),)}
    expected |= {"m_parameters": (f"{cost.parameters / 1e6:.1f}",), "gmacs": (f"{cost.macs / 1e9:.1f}",)}
    expected |= {name: (str(group["images"]), percent(group["miou"])) for name, group in groups.items()}
    assert _here((tmp_path / "table2.md").read_text()) == expected
    weak = groups["weakly_aligned"]
    found = _here((tmp_path / "table4.md").read_text())
    assert found.pop("pairs")[0] == str(weak["images"])
    for name, (iou, lost) in found.items():
        pair = weak["iou"][name], scores["iou"][name]
        assert iou == percent(pair[0])
        assert lost == ("–" if None in pair else f"{100 * (pair[0] - pair[1]):+.1f}")
    broken = {"rgb_failure": groups["rgb_broken"], "thermal_failure": groups["thermal_broken"]}
    rows = {name: (percent(group["miou"]), str(group["images"])) for name, group in broken.items()}
    assert _here((tmp_path / "table5.md").read_text()) == rows


def test_a_pt2_file_needs_trust(tmp_path: Path, cli: Callable[..., Any], kust4k: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(b"not one")
    command = ("reproduce", "table5", "--data", kust4k, "--out", tmp_path / "out", "--checkpoint", tmp_path / "m.pt2")
    assert "on the command line --trust" in cli(*command).err
    trusted = cli(*command, "--trust")
    assert trusted.code == 2
    assert "m.pt2" in trusted.err
    assert "--trust" not in trusted.err


def test_an_exported_model_is_scored_and_not_counted(
    tmp_path: Path, kust4k: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parameters and MACs are not to be had: said before the scoring."""
    predictor = cimnet.load(model)
    inner = predictor.model

    class Exported:
        def predict(self, rgb: Any, thermal: Any) -> Any:
            return inner.predict(rgb, thermal)

        def __call__(self, rgb: Any, thermal: Any) -> Any:
            return inner(rgb, thermal)

    predictor.model = Exported()
    monkeypatch.setattr("cimnet.analysis.reproduce.given_models.load", lambda *_, **__: predictor)
    reproduce("table5", kust4k, tmp_path, checkpoints=[model])
    reproduce("table4", kust4k, tmp_path, checkpoints=[model])
    monkeypatch.setattr("cimnet.analysis.reproduce.score", lambda *_: pytest.fail("scored first"))
    with pytest.raises(CimnetError, match="whose weights cannot be reached; give the checkpoint"):
        reproduce("table2", kust4k, tmp_path, checkpoints=[model])
