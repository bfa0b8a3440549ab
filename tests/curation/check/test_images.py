"""Files that cannot be used, sizes, depths, ranges, and signs of a failed sensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageFilter

from cimnet.curation.check.decode_pair import Job, Settings
from cimnet.curation.check.image_stats import dead_border, stretched
from cimnet.curation.check.pair_stats import measure_pair
from tests.data.layouts.test_broken_folders import keep_header, save
from tests.fakes.layouts import HEIGHT, WIDTH, make_folder, make_kust4k, make_mfnet, write_list

from .sets import Break, by_code, change, check, check_broken, names


def fill(path: Path, value: int, dtype: str = "uint8", channels: tuple[int, ...] = ()) -> None:
    Image.fromarray(np.full((HEIGHT, WIDTH, *channels), value, dtype)).save(path)


def blur(path: Path, radius: float = 2) -> None:
    image = Image.open(path)
    image.filter(ImageFilter.GaussianBlur(radius)).save(path)


FILES: dict[str, tuple[Break, str, list[str]]] = {
    "no bytes": (lambda r: (r / "rgb/001.png").write_bytes(b""), "empty-file", ["rgb/001.png"]),
    "text": (lambda r: (r / "thermal/001.png").write_text("hello"), "unreadable", ["thermal/001.png"]),
    "truncated": (lambda r: keep_header(r / "rgb/001.png"), "unreadable", ["rgb/001.png"]),
    "strange array": (
        lambda r: [(r / "thermal/001.png").unlink(), np.save(r / "thermal/001.npy", np.zeros((0, 4), np.int32))],
        "unreadable",
        ["thermal/001.npy"],
    ),
    "huge": (lambda r: save(r / "rgb/001.png", "1", (20_000, 20_000)), "too-large", ["rgb/001.png"]),
    "jpeg label": (
        lambda r: [(r / "labels/001.png").unlink(), save(r / "labels/001.jpg")],
        "lossy-label",
        ["labels/001.jpg"],
    ),
    "label of one bit": (lambda r: save(r / "labels/001.png", "1"), "one-bit", ["labels/001.png"]),
    "thermal of one bit": (lambda r: save(r / "thermal/001.png", "1"), "one-bit", ["thermal/001.png"]),
    "label in colours": (lambda r: save(r / "labels/001.png", "RGB", color="red"), "colour-label", ["labels/001.png"]),
    "palette": (lambda r: fill(r / "thermal/001.png", 9, channels=(3,)) or red(r), "palette", ["thermal/001.png"]),
    "coloured RGBA": (
        lambda r: Image.new("RGBA", (WIDTH, HEIGHT), (200, 30, 90, 7)).save(r / "thermal/001.png"),
        "palette",
        ["thermal/001.png"],
    ),
    "counts in rgb": (lambda r: fill(r / "rgb/001.png", 9, "uint16"), "swapped", ["rgb/001.png"]),
    "not finite": (
        lambda r: [
            (r / "thermal/001.png").unlink(),
            np.save(r / "thermal/001.npy", np.full((HEIGHT, WIDTH), np.nan, np.float32)),
        ],
        "not-finite",
        ["thermal/001.npy"],
    ),
    "border too wide": (
        lambda r: (r / "classes.yaml").write_text("classes: [a, b, c]\nborder: 20"),
        "border",
        [f"{kind}/{n:03d}.png" for n in range(12) for kind in ("rgb", "thermal", "labels")],
    ),
    "thermal of another size": (lambda r: save(r / "thermal/001.png", size=(20, 16)), "size", ["001"]),
    "label of another size": (lambda r: save(r / "labels/001.png", size=(20, 16)), "label-size", ["001"]),
    "mixed depths": (
        lambda r: change(r / "thermal/001.png", lambda v: v.astype(np.uint16) * 256),
        "mixed-depths",
        ["001"],
    ),
    "ids outside": (lambda r: change(r / "labels/001.png", lambda v: v * 4), "id-outside-classes", ["001"]),
}


def red(root: Path) -> None:
    change(root / "thermal/001.png", lambda v: v * np.array([20, 1, 1], np.uint8))


@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_used(tmp_path: Path, case: str) -> None:
    break_, code, concerned = FILES[case]
    findings = check_broken(tmp_path, break_)
    assert findings[code].severity == "error"
    assert names(findings[code]) == concerned
    assert all(item.detail for item in findings[code].items)


def test_the_reader_explains(tmp_path: Path) -> None:
    item = check_broken(tmp_path, FILES["label in colours"][0])["colour-label"].items[0]
    assert item.detail.startswith("a label of mode RGB")
    assert "label_format: colors" in item.detail


def test_labels_in_colours(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "classes.yaml").write_text(
        "classes: [{name: a, color: [9, 0, 0]}, {name: b, color: [0, 9, 0]}, {name: c, color: [0, 0, 9]}]\n"
        "label_format: colors\n"
    )
    for path in (tmp_path / "labels").iterdir():
        change(path, lambda v: np.eye(3, dtype=np.uint8)[v] * 9)
    report = check(tmp_path)
    assert not report.findings
    assert [row["images"] for row in report.summary["classes"]] == [6, 6, 6]
    change(tmp_path / "labels/001.png", lambda v: v * 2)
    assert names(by_code(check(tmp_path))["unknown-colour"]) == ["labels/001.png"]


def test_mfnet_files_without_thermal(tmp_path: Path) -> None:
    make_mfnet(tmp_path)
    save(tmp_path / "images/00000D.png", "RGB")
    Image.new("RGBA", (WIDTH, HEIGHT), (9, 9, 9, 255)).save(tmp_path / "images/00001N.png")
    assert names(by_code(check(tmp_path))["no-fourth-channel"]) == ["images/00000D.png", "images/00001N.png"]


def test_several_sizes_and_formats(tmp_path: Path) -> None:
    def grow(root: Path) -> None:
        for folder in ("rgb", "thermal", "labels"):
            change(root / folder / "001.png", lambda v: v.repeat(2, 0).repeat(2, 1))
        Image.open(root / "rgb/002.png").save(root / "rgb/002.jpg")
        (root / "rgb/002.png").unlink()

    findings = check_broken(tmp_path, grow)
    assert {(f.severity, f.code) for f in findings.values()} == {("note", "several-sizes"), ("note", "mixed-formats")}
    assert names(findings["several-sizes"]) == ["40x32", "80x64"]
    assert names(findings["mixed-formats"]) == ["PNG", "JPEG"]


def test_sixteen_bits_need_a_range(tmp_path: Path) -> None:
    make_folder(tmp_path, bit_depth=16)
    report = check(tmp_path)
    assert [(f.severity, f.code) for f in report.findings] == [("warning", "thermal-range")]
    assert "thermal_range: [18400, 20800]" in report.findings[0].remedy
    assert not check(tmp_path, thermal_range=(18000, 21000)).findings
    with (tmp_path / "classes.yaml").open("a") as file:
        file.write("thermal_range: [18000, 18800]\n")
    clipped = check(tmp_path).findings
    assert [(f.severity, f.code) for f in clipped] == [("warning", "range-clips")]
    assert "18000 to 18800" in clipped[0].message


def test_floats_need_a_range(tmp_path: Path) -> None:
    make_folder(tmp_path)
    for path in (tmp_path / "thermal").iterdir():
        degrees = np.random.default_rng(int(path.stem)).normal(290, 3, (HEIGHT, WIDTH))
        np.save(path.with_suffix(".npy"), degrees.astype(np.float32))
        path.unlink()
    assert [(f.severity, f.code) for f in check(tmp_path).findings] == [("error", "no-thermal-range")]
    assert not check(tmp_path, thermal_range=(270, 310)).findings


SENSORS: dict[str, tuple[Break, str, list[str]]] = {
    "black": (lambda r: fill(r / "rgb/001.png", 0, channels=(3,)), "rgb-black", ["001"]),
    "nearly black": (lambda r: change(r / "rgb/001.png", lambda v: v // 20), "rgb-black", ["001"]),
    "one grey": (lambda r: fill(r / "rgb/001.png", 90, channels=(3,)), "rgb-constant", ["001"]),
    "white": (lambda r: change(r / "rgb/001.png", lambda v: v | 254), "rgb-overexposed", ["001"]),
    "constant": (lambda r: fill(r / "thermal/001.png", 90), "thermal-constant", ["001"]),
    "blurred": (lambda r: blur(r / "thermal/001.png"), "thermal-blurred", ["001"]),
    "saturated": (lambda r: change(r / "thermal/001.png", lambda v: np.maximum(v, 35)), "thermal-saturated", ["001"]),
    "few values": (lambda r: change(r / "thermal/001.png", lambda v: v // 8 * 8), "thermal-few-levels", ["001"]),
    "grey copy": (
        lambda r: Image.open(r / "rgb/001.png").convert("L").save(r / "thermal/001.png"),
        "thermal-is-rgb",
        ["001"],
    ),
    "grey RGB": (
        lambda r: [change(path, lambda v: v[..., :1].repeat(3, 2)) for path in (r / "rgb").iterdir()],
        "rgb-grey",
        [f"{n:03d}" for n in range(12)],
    ),
}


@pytest.mark.parametrize("case", SENSORS)
def test_failed_sensors(tmp_path: Path, case: str) -> None:
    break_, code, concerned = SENSORS[case]
    findings = check_broken(tmp_path, break_)
    assert set(findings) == {code}
    assert findings[code].severity == "warning"
    assert names(findings[code]) == concerned


def test_weak_contrast_is_not_blur(tmp_path: Path) -> None:
    make_folder(tmp_path, n=12, bit_depth=16)
    change(tmp_path / "thermal/001.png", lambda v: v // 5 + 15000)
    assert not check(tmp_path, thermal_range=(18000, 21000)).findings


def test_swapped_folders(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "rgb").rename(tmp_path / "x")
    (tmp_path / "thermal").rename(tmp_path / "rgb")
    (tmp_path / "x").rename(tmp_path / "thermal")
    findings = by_code(check(tmp_path))
    assert len(names(findings["swapped-colours"])) == 6
    assert findings["swapped-colours"].severity == "error"


def test_lists_of_broken_pairs(tmp_path: Path) -> None:
    make_kust4k(tmp_path)
    write_list(tmp_path / "broke_RGB.txt", ["00004D"])
    blur(tmp_path / "TIR/00006D.png")
    findings = by_code(check(tmp_path))
    assert {code: names(f) for code, f in findings.items()} == {
        "thermal-blurred": ["00006D"],
        "rgb-flagged-sound": ["00004D"],
        "thermal-flagged-sound": ["00002D"],
        "flagged-broken": ["00000D", "00001N", "00002D", "00004D"],
    }
    (tmp_path / "broken_in_train_3.txt").unlink()
    findings = by_code(check(tmp_path))
    assert names(findings["rgb-black"]) == ["00000D"]
    assert "not in broke_RGB.txt" in findings["rgb-black"].message


def test_broken_thermal_images_do_not_set_the_range(tmp_path: Path) -> None:
    make_folder(tmp_path, n=12, bit_depth=16)
    fill(tmp_path / "thermal/001.png", 60000, "uint16")
    assert "thermal_range: [18400, 20800]" in by_code(check(tmp_path))["thermal-range"].remedy


@pytest.mark.parametrize("ext", ["png", "jpg"])
def test_dead_border(tmp_path: Path, ext: str) -> None:
    make_folder(tmp_path, n=12)
    for path in [*(tmp_path / "rgb").iterdir(), *(tmp_path / "thermal").iterdir()]:
        values = np.pad(np.array(Image.open(path)), ((24, 8), (0, 16), *([(0, 0)] * ("rgb" in path.parts))),
                        constant_values=255)  # fmt: skip
        path.unlink()
        Image.fromarray(values).save(path.with_suffix(f".{ext}"), quality=90)
    for path in (tmp_path / "labels").iterdir():
        change(path, lambda v: np.pad(v, ((24, 8), (0, 16))))
    findings = by_code(check(tmp_path))
    assert set(findings) == {"border-dead"}
    assert "border: [24, 16, 8, 0]" in findings["border-dead"].remedy
    with (tmp_path / "classes.yaml").open("a") as file:
        file.write("border: [20, 16, 8, 0]\n")
    again = by_code(check(tmp_path))["border-dead"]
    assert "border: [24, 16, 8, 0]" in again.remedy
    assert "already" in again.message
    text = (tmp_path / "classes.yaml").read_text().replace("[20,", "[24,")
    (tmp_path / "classes.yaml").write_text(text)
    assert not check(tmp_path).findings


def test_noise_of_jpeg_in_a_border() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(20, 200, (40, 60), np.uint8)
    values[:9], values[:, -7:] = rng.integers(251, 256, (9, 60)), rng.integers(251, 256, (40, 7))
    assert dead_border(values) == (9, 7, 0, 0)
    assert dead_border(values.astype(np.uint16)) == (0, 0, 0, 0)
    assert dead_border(np.full((40, 60), 255, np.uint8)) == (0, 0, 0, 0)


def test_a_border_does_not_flatten_what_is_shown() -> None:
    values = np.random.default_rng(0).integers(18000, 18400, (40, 60), np.uint16)
    values[:8] = 0
    assert stretched(values)[8:].std() > 0.2
    assert stretched(values)[:8].max() == 0


def test_a_constant_edge_of_some_images_is_no_border(tmp_path: Path) -> None:
    def sky(root: Path) -> None:
        for number in range(6):
            change(root / f"thermal/{number:03d}.png", lambda v: np.where(np.arange(HEIGHT)[:, None] < 5, 30, v).astype(
                np.uint8))  # fmt: skip

    assert not check_broken(tmp_path, sky)


def test_a_border_that_some_images_seem_to_widen(tmp_path: Path) -> None:
    def black(root: Path, number: int, rows: int) -> None:
        change(root / f"thermal/{number:03d}.png", lambda v: np.where(np.arange(HEIGHT)[:, None] < rows, 0, v).astype(
            np.uint8))  # fmt: skip

    findings = check_broken(tmp_path, lambda r: [black(r, number, 6 if number < 4 else 8) for number in range(12)])
    assert "border: [6, 0, 0, 0]" in findings["border-dead"].remedy


def test_each_file_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path, n=1)
    decoded: list[str] = []
    load = ImageFile.ImageFile.load

    def counted(self: Any) -> Any:
        if self.tile:  # not decoded yet
            decoded.append(Path(self.filename).parent.name)
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    measure_pair(Job("000", *(tmp_path / kind / "000.png" for kind in ("rgb", "thermal", "labels"))), Settings())
    assert decoded == ["rgb", "thermal", "labels"]
