"""Writing scenes as an ordinary data set folder in Kust4K's layout, with the truth beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cimnet.data.io.split_lists import list_text
from cimnet.data.synthetic.class_ids import CLASSES
from cimnet.data.synthetic.draws import LATE
from cimnet.data.synthetic.render import check_view, render
from cimnet.errors import ConfigError
from cimnet.utils.files import staged_folder
from cimnet.utils.pool import Progress, run_in_processes

FORMAT = 1  # raised whenever the same seed gives other pictures
_LISTS = {
    "broke_RGB": "rgb_broken",
    "broke_TIR": "thermal_broken",
    "weakly_aligned": "weakly_aligned",
}
_README = """Synthetic aerial RGB-thermal pairs in the layout of Kust4K, drawn by cimnet.data.synthetic: no photographs.

RGB/NAME.png         8-bit colour
TIR/NAME.png         8-bit thermal, white is hot
Seg_annos/NAME.png   class ids, in the frame of the RGB image: {classes}
truth/NAME.npz       offset (2, H, W) float16, order (dy, dx): the surface at RGB pixel (y, x) is seen in the thermal
                     image at (y + dy, x + dx); moving (H, W) bool: on things that move
train.txt val.txt test.txt                     names by split; D: day, N: night or dark night
day.txt night.txt dark_night.txt               names by light
broke_RGB.txt broke_TIR.txt weakly_aligned.txt names by flag
synth.json           seed and sizes: the same values give the same pixels
"""


@dataclass(frozen=True)
class _Job:
    folder: Path
    seed: int
    split: str
    index: int
    number: int
    size: tuple[int, int]
    scale: float
    late: float


@dataclass(frozen=True)
class _Written:
    split: str
    id: str
    scene: str
    flags: frozenset[str]


def synthesize(
    out: str | Path,
    *,
    train: int = 200,
    val: int = 40,
    test: int = 80,
    seed: int = 0,
    size: tuple[int, int] = (512, 640),
    scale: float = 1.0,
    late: float = LATE,
    workers: int = 1,
    progress: Progress | None = None,
) -> None:
    """Write a synthetic data set into a new folder; on failure nothing is left there.

    Args:
        out: folder, new or empty.
        train, val, test: number of pairs of each split.
        seed, size, scale, late: as in :func:`render`.
        workers: processes that render; their number does not change a byte.
        progress: called with the number of finished pairs and the total.

    Raises:
        CimnetError: the folder is not empty or cannot be written, or a worker process was killed.
        ConfigError: a number is out of range.
    """
    out = Path(out).absolute()
    counts = {"train": train, "val": val, "test": test}
    if not 0 <= late <= 1:
        raise ConfigError(f"late: {late} is a share of pairs, it must lie in 0 to 1")
    if min(counts.values()) < 0 or sum(counts.values()) == 0 or workers < 1:
        raise ConfigError(
            f"train={train}, val={val}, test={test}, workers={workers}: need at least one pair, one worker"
        )
    check_view(seed, size, scale)
    with staged_folder(out) as part:
        for name in ("RGB", "TIR", "Seg_annos", "truth"):
            (part / name).mkdir(parents=True)
        places = [(split, index) for split, n in counts.items() for index in range(n)]
        jobs = [_Job(part, seed, *place, number, size, scale, late) for number, place in enumerate(places, start=1)]
        written = run_in_processes(
            _write, jobs, workers, name=lambda job: f"{job.split} {job.index}", progress=progress
        )
        _write_lists(part, written)
        about = {
            "format": FORMAT,
            "seed": seed,
            **counts,
            "size": list(size),
            "scale": scale,
            "late": late,
            "classes": CLASSES,
        }
        (part / "synth.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        classes = ", ".join(f"{k} {name}" for k, name in enumerate(CLASSES))
        (part / "README.txt").write_text(_README.format(classes=classes), encoding="utf-8")


def _write(job: _Job) -> _Written:
    pair = render(
        job.seed,
        split=job.split,
        index=job.index,
        size=job.size,
        scale=job.scale,
        number=job.number,
        late=job.late,
    )  # fmt: skip
    for name, image in (("RGB", pair.rgb), ("TIR", pair.thermal), ("Seg_annos", pair.label)):
        Image.fromarray(image).save(job.folder / name / f"{pair.id}.png", compress_level=1)
    truth = job.folder / "truth" / f"{pair.id}.npz"
    np.savez_compressed(truth, offset=pair.offset.astype(np.float16), moving=pair.moving)
    return _Written(job.split, pair.id, pair.scene, pair.flags)


def _write_lists(folder: Path, written: list[_Written]) -> None:
    lists = {split: [w.id for w in written if w.split == split] for split in ("train", "val", "test")}
    lists |= {scene: [w.id for w in written if w.scene == scene] for scene in ("day", "night", "dark_night")}
    lists |= {name: [w.id for w in written if flag in w.flags] for name, flag in _LISTS.items()}
    for name, ids in lists.items():
        (folder / f"{name}.txt").write_text(list_text(ids), encoding="utf-8")
