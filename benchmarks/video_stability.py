"""Videos of synthetic scenes with known truth: the time offset that is found, and how steady masks are, by smoothing.

    python benchmarks/video_stability.py CHECKPOINT [--scenes 3] [--seconds 8] [--part offsets|steadiness]
    python benchmarks/video_stability.py CHECKPOINT --picture docs/images/video_frames.jpg

A camera wanders over a scene in which cars and people move; RGB has 30 frames a second, thermal 9, with a clock of
its own. Both are encoded with H.264 and read back.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

import cimnet
from cimnet.data.synthetic import CLASSES
from cimnet.data.synthetic.dice import Dice
from cimnet.data.synthetic.draws import sample_scene
from cimnet.data.synthetic.render import ScenePair, draw
from cimnet.data.synthetic.world import Scene
from cimnet.deploy.video import OffsetEstimate, predict_video
from cimnet.deploy.video.motion import track
from cimnet.deploy.video.output import VideoWriter
from cimnet.deploy.video.sources import open_source
from cimnet.deploy.video.timing import compare
from cimnet.inference import Predictor

SIZE, SCALE = (160, 224), 0.5
RGB_FPS, THERMAL_FPS = 30, 9
OFFSETS = (-0.7, -0.2, 0.0, 0.35, 1.1)
MOVES = ("wander", "pan", "still", "unrelated")
SMOOTH = (0.0, 0.3, 0.6, 0.8)
START = 5.0  # second of the scene at which RGB begins


@dataclass(frozen=True)
class Sequence:
    """A scene over time: the camera's place in the canvas is a function of time, things drive on."""

    scene: Scene
    dice: Dice
    move: str
    speed: float  # of the camera, 1: as it is
    noise: int = 0

    def at(self, time: float) -> ScenePair:
        """What both cameras see at `time`, without noise."""
        things = tuple(
            replace(t, at=(t.at[0] + t.velocity[0] * time, t.at[1] + t.velocity[1] * time)) for t in self.scene.things
        )
        things = tuple(sorted(things, key=lambda t: t.depth))
        scene = replace(self.scene, things=things, crop=self._crop(time))
        return draw(scene, copy.deepcopy(self.dice), "frame", SIZE, SCALE, noise=0.0)

    def _crop(self, time: float) -> tuple[float, float]:
        t = time * self.speed
        if self.move == "still":
            return 0.5, 0.5
        if self.move == "pan":
            return min(1.0, 0.02 + 0.06 * t), 0.5
        phase = 0.7 * self.noise  # another path for each scene
        x = 0.5 + 0.22 * np.sin(0.9 * t + phase) + 0.16 * np.sin(2.3 * t + 2 * phase) + 0.04 * np.sin(6.1 * t)
        y = 0.5 + 0.22 * np.cos(0.7 * t + phase) + 0.14 * np.sin(1.9 * t + 1 + phase) + 0.04 * np.sin(5.3 * t + 2)
        return float(np.clip(x, 0, 1)), float(np.clip(y, 0, 1))


def sequence(index: int, move: str) -> Sequence:
    """The index-th scene by day or night with sound sensors."""
    found = 0
    for number in range(1000):
        scene, dice = sample_scene(5, "test", number)
        if scene.flags & {"rgb_broken", "thermal_broken"} or scene.climate.scene == "dark_night":
            continue
        if found == index:
            registration = replace(scene.registration, lag=0.0)
            return Sequence(replace(scene, registration=registration), dice, move, 1.0, index)
        found += 1
    raise ValueError(index)


def film_rgb(shown: Sequence, path: Path, seconds: float) -> list[ScenePair]:
    """Write the RGB video; the truth of its frames."""
    rng = np.random.default_rng(0)
    truth = [shown.at(START + frame / RGB_FPS) for frame in range(round(seconds * RGB_FPS))]
    with VideoWriter(path, RGB_FPS) as writer:
        for frame, pair in enumerate(truth):
            writer.add(noisy(pair.rgb, 4.0, rng), frame / RGB_FPS)
    return truth


def film_thermal(shown: Sequence, path: Path, seconds: float, offset: float) -> None:
    """Write the thermal video; it begins `offset` seconds before RGB, so its clock is ahead by that much."""
    rng = np.random.default_rng(1)
    with VideoWriter(path, THERMAL_FPS) as writer:
        for frame in range(round(seconds * THERMAL_FPS)):
            thermal = shown.at(START - offset + frame / THERMAL_FPS).thermal
            writer.add(np.repeat(noisy(thermal, 3.0, rng)[..., None], 3, axis=2), frame / THERMAL_FPS)


def noisy(image: npt.NDArray[np.uint8], level: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """With sensor noise that is new in every frame."""
    return np.clip(image + rng.normal(0, level, image.shape), 0, 255).round().astype(np.uint8)


def offsets(scenes: int, seconds: float, root: Path) -> None:
    """Print what is found for each way the camera moves and each offset."""
    print("| camera | true offset (s) | estimated (s) | confidence | refused | worst error (ms) |")
    print("|---|---:|---|---|---:|---:|", flush=True)
    for move in MOVES:  # unrelated: the thermal video is another scene's
        found: dict[float, list[OffsetEstimate]] = {true: [] for true in OFFSETS}
        for index in range(scenes):
            unrelated = move == "unrelated"
            film_rgb(sequence(index, "wander" if unrelated else move), root / "rgb.mp4", seconds)
            shown = sequence(index + 10, "wander") if unrelated else sequence(index, move)
            rgb = track(open_source(root / "rgb.mp4", "rgb").frames(), seconds)
            for true in OFFSETS:
                film_thermal(shown, root / "thermal.mp4", seconds, true)
                thermal = track(open_source(root / "thermal.mp4", "thermal").frames(), seconds)
                found[true].append(compare(rgb, thermal))
        for true, estimates in found.items():
            values = ["–" if f.offset is None else f"{f.offset:.3f}" for f in estimates]
            errors = [abs(f.offset - true) for f in estimates if f.offset is not None]
            worst = f"{1000 * max(errors):.0f}" if errors else "–"
            sure = ", ".join(f"{f.confidence:.2f}" for f in estimates)
            print(f"| {move} | {true} | {', '.join(values)} | {sure} | {values.count('–')} | {worst} |", flush=True)


def steadiness(predictor: Predictor, scenes: int, seconds: float, root: Path) -> None:
    """Print mIoU and flicker by smoothing."""
    print("\n| camera | smooth | mIoU (%) | flicker (%) | pixels whose truth changes (%) |")
    print("|---|---:|---:|---:|---:|", flush=True)
    for move in ("wander", "still"):
        rows: dict[float, list[tuple[float, float, float]]] = {smooth: [] for smooth in SMOOTH}
        for index in range(scenes):
            shown = sequence(index, move)
            truth = np.stack([pair.label for pair in film_rgb(shown, root / "rgb.mp4", seconds)])
            film_thermal(shown, root / "thermal.mp4", seconds + 1, 0.35)
            for smooth in SMOOTH:
                settings = {"time_offset": 0.35, "smooth": smooth, "view": "none", "overwrite": True}
                predict_video(predictor, root / "rgb.mp4", root / "thermal.mp4", root / "out", **settings)
                files = [root / "out" / "masks" / f"{frame:06d}.png" for frame in range(len(truth))]
                rows[smooth].append(score(np.stack([np.array(Image.open(file)) for file in files]), truth))
        for smooth, values in rows.items():
            miou, flicker, changing = 100 * np.mean(values, axis=0)
            print(f"| {move} | {smooth} | {miou:.1f} | {flicker:.2f} | {changing:.2f} |", flush=True)


def score(masks: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]) -> tuple[float, float, float]:
    """mIoU over all frames; share of pixels whose class changes from a frame to the next where the truth does not;
    share of pixels whose truth changes."""
    known = truth < len(CLASSES)
    counts = np.bincount(truth[known].astype(int) * len(CLASSES) + masks[known], minlength=len(CLASSES) ** 2).reshape(
        len(CLASSES), len(CLASSES)
    )
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    miou = float((counts.diagonal()[union > 0] / union[union > 0]).mean())
    same = truth[1:] == truth[:-1]
    return miou, float((masks[1:] != masks[:-1])[same].mean()), float(1 - same.mean())


def picture(predictor: Predictor, target: Path, root: Path) -> None:
    """Frames of an overlay video side by side, by day and at night, as one picture."""
    shown = []
    for index in (0, 3):
        scene = sequence(index, "wander")
        film_rgb(scene, root / "rgb.mp4", 2)
        film_thermal(scene, root / "thermal.mp4", 3, 0.35)
        last = index == 3
        settings = {"time_offset": 0.35, "view": "side", "every": 15, "overwrite": True, "legend": last}
        predict_video(predictor, root / "rgb.mp4", root / "thermal.mp4", root / "side.mp4", **settings)
        frames = [frame.image for frame in open_source(root / "side.mp4", "rgb").frames()]
        height = SIZE[0]
        shown += [frames[1][:height], frames[3] if last else frames[3][:height]]
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(shown)).save(target, quality=85)
    print(f"picture: {target}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--part", choices=("offsets", "steadiness"), help="one of the two tables")
    parser.add_argument("--picture", type=Path, help="write this picture and nothing else")
    options = parser.parse_args()
    torch.set_num_threads(2)
    predictor = cimnet.load(options.checkpoint, "cpu", batch_size=4)
    with tempfile.TemporaryDirectory() as folder:
        if options.picture is not None:
            picture(predictor, options.picture, Path(folder))
            return
        if options.part != "steadiness":
            offsets(options.scenes, options.seconds, Path(folder))
        if options.part != "offsets":
            steadiness(predictor, options.scenes, options.seconds, Path(folder))


if __name__ == "__main__":
    main()
