"""The mutants: wrong changes to single places, over all rooms. How they are used: see ``__main__``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Mutant(NamedTuple):
    """A wrong change.

    Attributes:
        name: "room: what is wrong".
        file: below the project's root.
        old, new: a snippet that is in the file exactly once, and what takes its place.
        tests: test files that must see it.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def misfit(mutant: Mutant, project: Path) -> str | None:
    """Why a mutant does not apply to a project; None if it does."""
    path = project / mutant.file
    if not path.is_file():
        return f"{mutant.file}: no such file"
    count = path.read_text(encoding="utf-8").count(mutant.old)
    return None if count == 1 else f"{mutant.file}: the snippet is there {count} times"


def _src(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, f"src/cimnet/{file}", old, new, tuple(f"tests/{test}" for test in tests))


_MI = ("models/test_mutual_information.py", "models/test_mutual_information_samples.py")
_PAPER = ("training/test_recipe.py", "training/test_paper_recipe.py")
_ORDER = ("training/test_order.py", "training/test_loop.py")
_RECIPE = "recipes/kust4k_resnet101.yaml"


def _recipe(name: str, old: str, new: str) -> Mutant:
    return Mutant(f"recipe: {name}", _RECIPE, old, new, tuple(f"tests/{test}" for test in _PAPER))


MUTANTS: tuple[Mutant, ...] = (
    # ---- data
    _src("io: 2-bit grey labels stay stretched", "data/io/readers.py",
         "ids //= np.uint8(255 // (2**facts.bits - 1))", "ids //= np.uint8(1)", "data/io/test_readers.py"),
    _src("io: EXIF orientation is not applied", "data/io/open_image.py",
         "return ImageOps.exif_transpose(image) if orientation(image) != 1 else image", "return image",
         "data/io/test_readers.py"),
    _src("io: kelvin of another unit", "data/io/thermal_scaling.py",
         "return (self.low - offset) / factor, (self.high - offset) / factor",
         "return (self.low - offset) * factor, (self.high - offset) * factor",
         "data/io/test_thermal.py", "data/io/test_thermal_arrays.py"),
    _src("layouts: MFNet's flipped names are not mirrored", "data/layouts/mfnet.py",
         "flips = True", "flips = False", "data/layouts/test_layouts.py"),
    _src("layouts: Kust4K's car and truck change places", "data/layouts/kust4k.py",
         '    "car",\n    "truck",', '    "truck",\n    "car",',
         "data/layouts/test_layouts.py", "data/test_contract.py"),
    _src("io: a damaged file is not named", "data/io/open_image.py",
         'raise DataError(f"{path}: cannot be read ({reason}); restore or remove it") from error',
         'raise DataError(f"cannot be read ({reason}); restore or remove it") from error',
         "data/layouts/test_broken_layouts.py", "data/layouts/test_broken_folders.py"),
    _src("layouts: a listed name in another case is not told", "data/io/split_lists.py",
         'remedy = f"; {other_case} differs in upper and lower case only" if other_case else',
         'remedy = "" if other_case else',
         "data/layouts/test_broken_layouts.py"),
    _src("statistics: pairs with a broken thermal image count", "data/statistics.py",
         'if "thermal_broken" not in flags]', 'if "nothing" not in flags]', "data/layouts/test_layouts.py"),
    _src("corruptions: the thermal image moves the other way than its offset", "data/corruptions/geometry.py",
         "return _sampled(sample, -come, offset)", "return _sampled(sample, come, offset)",
         "data/corruptions/test_geometry.py"),
    _src("synthetic: the truth of moving things has its axes swapped", "data/synthetic/render.py",
         "motion[:, k] = (dy + c * dx + d * dy) * view.scale, (dx + a * dx + b * dy) * view.scale",
         "motion[:, k] = (dx + a * dx + b * dy) * view.scale, (dy + c * dx + d * dy) * view.scale",
         "data/synthetic/test_offset.py"),
    _src("synthetic: white is cold", "data/synthetic/thermal_camera.py",
         "np.float32((low - 2000) / 20)) * np.float32(255 * 20 / (high - low))",
         "np.float32((high - 2000) / 20)) * np.float32(-255 * 20 / (high - low))",
         "data/synthetic/test_render.py"),
    # ---- transforms
    _src("transforms: what lies outside is class 0", "data/transforms.py",
         "F.pad(label, padding, fill=IGNORE_INDEX)", "F.pad(label, padding, fill=0)", "data/test_transforms.py"),
    _src("transforms: the thermal crop is moved by a pixel", "data/transforms.py",
         "self._jitter_thermal(values[3:])", "self._jitter_thermal(values[3:].roll(1, -1))",
         "data/test_transforms.py"),
    _src("transforms: the thermal image is not mirrored left-right with the others", "data/transforms.py",
         "images, label = flip(images), None if label is None else flip(label)",
         "images, label = (\n"
         "                    torch.cat([flip(images[:3]), images[3:] if flip is F.horizontal_flip else"
         " flip(images[3:])]),\n"
         "                    None if label is None else flip(label),\n"
         "                )",
         "data/test_transforms.py"),
    _src("transforms: no horizontal flip by default", "data/transforms.py",
         "    hflip: float = 0.5,", "    hflip: float = 0.0,", "data/test_transforms.py"),
    _src("transforms: always a horizontal flip by default", "data/transforms.py",
         "    hflip: float = 0.5,", "    hflip: float = 1.0,", "data/test_transforms.py"),
    _src("transforms: a crop never leaves the corner", "data/transforms.py",
         "start = _integer(spare + 1) if focus is None", "start = 0 if focus is None", "data/test_transforms.py"),
    _src("transforms: images are made smaller without antialiasing", "data/transforms.py",
         "v2.InterpolationMode.BILINEAR, antialias=True)", "v2.InterpolationMode.BILINEAR, antialias=False)",
         "data/test_transforms.py"),
    # ---- models
    _src("cipa: the streams' attention is shared", "models/cipa.py",
         "self.attention_rgb(rgb), self.attention_thermal(thermal)",
         "self.attention_rgb(rgb), self.attention_rgb(thermal)",
         "models/test_cipa.py"),
    _src("scsfr: offsets of the next stage keep their length", "models/scsfr.py",
         "return 0.5 * F.interpolate(offset", "return 1.0 * F.interpolate(offset", "models/test_scsfr.py"),
    _src("scsfr: each stream weighs by its own map", "models/scsfr.py",
         "torch.addcmul(rgb, self.scale * weight_thermal, thermal),  # eq. 15, 17",
         "torch.addcmul(rgb, self.scale * weight_rgb, thermal),  # eq. 15, 17", "models/test_scsfr.py"),
    _src("ffm: each stream reads its own context", "models/ffm.py",
         "read_rgb = self._split(rgb) @ context_thermal", "read_rgb = self._split(rgb) @ context_rgb",
         "models/test_ffm.py"),
    _src("decoder: small maps are enlarged with aligned corners", "models/decoder.py",
         'mode="bilinear", align_corners=False', 'mode="bilinear", align_corners=True', "models/test_decoder.py"),
    _src("cimnet: missing images keep their maps", "models/blank.py",
         "return module(x) * there.view(shape).to(x.dtype)", "return module(x)",
         "models/test_cimnet.py", "models/test_families.py"),
    _src("two streams: the thermal stream runs where RGB is there", "models/two_stream.py",
         "run_on_present(thermal, maps.thermal, images.has_thermal, self.training)",
         "run_on_present(thermal, maps.thermal, images.has_rgb, self.training)",
         "models/test_cimnet.py", "models/test_families.py"),
    _src("two streams: nothing is written back after the third stage", "models/projections.py",
         "pair_widths(encoder.channels, widths)[:3]", "pair_widths(encoder.channels, widths)[:2]",
         "models/test_cimnet.py", "models/test_families.py"),
    _src("lone streams: a stream of another pair is decoded", "models/lone_streams.py",
         "projected.thermal[self.chosen.thermal]))", "projected.thermal[self.chosen.rgb]))", "models/test_cimnet.py"),
    _src("lone streams: a pair that lacks an image is decoded once more", "models/lone_streams.py",
         "Streams(*(mask & ~incomplete for mask in apart))", "apart", "models/test_cimnet.py"),
    _src("mutual information: one of the marginals is forgotten", "models/mutual_information.py",
         " - columns.clamp_min(tiny).log()", "", *_MI),
    _src("mutual information: the head's gradient is not reversed", "models/mutual_information.py",
         "return reverse_gradient(estimate) if", "return estimate if", *_MI),
    _src("mutual information: the mean over images, not over all samples", "models/mutual_information.py",
         "estimate = mutual_information(joint_distribution(*self.assign(rgb, thermal), counts))",
         "p, q = (t.unflatten(0, (len(rgb), -1)) for t in self.assign(rgb, thermal))\n"
         "        estimate = torch.stack([mutual_information(joint_distribution(*each)) for each in zip(p, q)]).mean()",
         *_MI),
    _src("mutual information: the joint table of one process alone", "models/mutual_information.py",
         "return sum_over_processes(joint) / sum_over_processes(total.to(joint)).clamp_min(1.0)",
         "return joint / total.to(joint).clamp_min(1.0)", *_MI),
    _src("mutual information: another order of the joint table's rows", "models/mutual_information.py",
         "joint = p.T @ q", "joint = (p.T @ q).flip(0)", *_MI),
    _src("mutual information: 8 categories", "models/mutual_information.py",
         "categories: int = 16", "categories: int = 8", *_MI),
    # ---- training
    _src("loss: unlabelled pixels count in the mean", "training/loss.py",
         "valid = label != IGNORE_INDEX", "valid = label >= 0", "training/test_loss.py"),
    _src("loss: half of the Dice overlap", "training/loss.py",
         "1 - 2 * overlap / size", "1 - overlap / size", "training/test_loss.py"),
    _src("loss: λ has no barrier", "training/loss.py",
         "return weight * estimate - self.barrier * log_weight, weight.detach()",
         "return weight * estimate, weight.detach()", "training/test_loss.py"),
    _src("loss: label 255 counts in the shares of class weights", "data/dataset.py",
         "ids = np.zeros(0, np.uint8) if arrays.label is None else arrays.label.ravel()",
         "ids = np.zeros(0, np.uint8) if arrays.label is None else arrays.label.ravel() % 255",
         "training/test_paper_recipe.py", "data/layouts/test_broken_folders.py"),
    _src("order: the same order of samples in every epoch", "training/order.py",
         "random = np.random.default_rng((self.seed, self.epoch))\n"
         "        order, seeds = random.permutation(self.size), random.integers(2**63, size=self.size)",
         "random = np.random.default_rng((self.seed, self.epoch))\n"
         "        order = np.random.default_rng(self.seed).permutation(self.size)\n"
         "        seeds = random.integers(2**63, size=self.size)", *_ORDER),
    _src("order: the same augmentation of a sample in every epoch", "training/order.py",
         "order, seeds = random.permutation(self.size), random.integers(2**63, size=self.size)",
         "order, seeds = random.permutation(self.size), np.arange(self.size)\n"
         "        seeds = order + self.seed", *_ORDER),
    _src("optimiser: the milestone comes one step late", "training/optim.py",
         "sum(step >= epoch * steps_per_epoch", "sum(step > epoch * steps_per_epoch", "training/test_optim.py"),
    _recipe("the paper's with another learning rate", "learning_rate: 0.0001", "learning_rate: 0.001"),
    _recipe("the paper's with another batch", "batch_size: 4", "batch_size: 8"),
    _recipe("the paper's with other milestones", "milestones: [8, 11]", "milestones: [6, 11]"),
    _recipe("the paper's without a flip", "hflip: 0.5", "hflip: 0.0"),
    _src("checkpoint: the temperature is lost", "checkpoint.py",
         "temperature=None if temperature is None else float(temperature)", "temperature=None",
         "test_checkpoint.py"),
    _src("checkpoint: its identity leaves out the weights beside it", "checkpoint.py",
         "for file in weight_files(path):", "for file in weight_files(path)[:1]:", "test_checkpoint.py"),
    _src("recipe: no flip by default", "training/recipe_sections.py",
         "hflip: float = Field(0.5,", "hflip: float = Field(0.0,", *_PAPER),
    # ---- inference
    _src("windows: what is behind a row of windows is not cleared", "inference/windows.py",
         "plane[rows - finished :] = 0", "pass", "inference/test_windows.py"),
    _src("windows: no taper", "inference/windows.py", "+= found * taper", "+= found", "inference/test_windows.py"),
    _src("overlay: the background is covered, too", "inference/overlay.py",
         "covered = opacity * color.any(axis=2, keepdims=True)", "covered = opacity", "inference/test_overlay.py"),
    _src("alarms: half of the false alarms that were allowed", "inference/alarms/thresholds.py",
         "falling[int(share * len(falling))]", "falling[int(share * len(falling) / 2)]",
         "analysis/calibration/test_alarm.py", "analysis/calibration/test_roc.py"),
    _src("jobs: a pair with half an output counts as done", "inference/jobs/record.py",
         "return all(path.is_file()", "return any(path.is_file()", "inference/jobs/test_job.py"),
    _src("jobs: a pair that lacks an image is judged", "inference/jobs/predict_part.py",
         "predictor.has_alarm and pair.has_both for", "predictor.has_alarm for",
         "inference/jobs/test_job.py", "inference/jobs/test_counts.py", "inference/jobs/test_folder.py"),
    _src("jobs: outputs stay where nothing could be read", "inference/jobs/job.py",
         "if len(result.failed) == len(names):", "if not names:", "inference/jobs/test_job.py"),
    # ---- evaluation, registration
    _src("metrics: unlabelled pixels are scored", "evaluation/metrics.py",
         "valid = truth != IGNORE_INDEX", "valid = truth >= 0", "evaluation/test_metrics.py"),
    _src("registration: the wrong order of matrices", "registration/matrices.py",
         "(square(second) @ square(first))[:2]", "(square(first) @ square(second))[:2]",
         "registration/test_camera_calibration.py", "registration/test_estimate.py"),
    _src("registration: an object's own offset is the whole one", "registration/objects.py",
         '"ok", dx + own_dx, dy + own_dy, own_dx, own_dy', '"ok", dx + own_dx, dy + own_dy, dx + own_dx, dy + own_dy',
         "registration/test_objects.py"),
    # ---- curation
    _src("check: equal pairs in two splits are only a warning", "curation/check/duplicates.py",
         '(across if len(splits) > 1 else within)', '(within if len(splits) > 1 else within)',
         "curation/check/test_duplicates.py"),
    _src("split: mirrored pairs are apart from their originals", "curation/split/groups.py",
         "groups[pair.id.removesuffix(FLIP)] for pair in pairs}", "groups.get(pair.id, pair.id) for pair in pairs}",
         "curation/split/test_groups.py", "curation/split/test_split.py"),
    _src("convert: classes go by their number, not by their name", "curation/convert/targets.py",
         "ids[class_id] = target.names.index(partner)", "ids[class_id] = class_id % len(target.names)",
         "curation/convert/test_convert.py", "curation/convert/test_convert_cases.py"),
    _src("stats: static offset has its axes swapped", "curation/stats/measure_pairs.py",
         "return (dx, dy), tuple((float(x), float(y)) for y, x in things)",
         "return (dy, dx), tuple((float(x), float(y)) for y, x in things)", "curation/stats/test_stats.py"),
    _src("download: a member may lead out of the folder", "curation/download/archives.py",
         'or ".." in parts or drive', "or drive", "faults/test_faults.py"),
    _src("download: a wrong checksum is taken", "curation/download/transfer.py",
         "wrong = wrong_sum(remote, part)\n", "wrong = None\n", "curation/download/test_download.py"),
    # ---- analysis
    _src("roc: equal scores are several steps", "analysis/calibration/roc.py",
         "last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1) if len(values) else np.zeros(0, np.int64)",
         "last = np.arange(len(values))", "analysis/calibration/test_roc.py"),
    _src("robustness: pairs with a broken sensor are scored as clean", "analysis/robustness/count.py",
         "if self.keep_broken or not flags[i] & BROKEN_FLAGS]", "if True]",
         "analysis/robustness/test_scores.py", "analysis/robustness/test_conditions.py"),
    _src("offsets: an endpoint error from the sum", "analysis/offset_agreement.py",
         "float(np.hypot(*(f - t)).mean())", "float(np.hypot(*(f + t)).mean())",
         "analysis/test_report.py", "deploy/video/test_timing.py"),
    # ---- deploy
    _src("geo: areas forget the unit of the map", "deploy/geo/areas.py",
         "abs(self.transform.determinant) * self.unit**2)", "abs(self.transform.determinant))",
         "deploy/geo/test_areas.py"),
    _src("video: the offset has the other sign", "deploy/video/pairing.py",
         "target = frame.time + offset", "target = frame.time - offset",
         "deploy/video/test_predict.py", "deploy/video/test_errors.py"),
    _src("video: a new shot is mixed with the one before", "deploy/video/smoothing.py",
         "if self.state is None or new_shot:", "if self.state is None:", "deploy/video/test_predict.py"),
    _src("serve: as many large pairs wait as come", "deploy/serve/batcher.py",
         "if held and held + job.held > self.options.held_pixels:", "if held < 0:", "deploy/serve/test_load.py"),
    _src("export: the check of a file accepts anything", "deploy/export/parity.py",
         "if parity.equal < LEAST:", "if parity.equal < 0:", "deploy/export/test_write.py"),
    # ---- utils
    _src("files: half a file stays when writing fails", "utils/files.py",
         "if temporary.exists():", "if not temporary:", "faults/test_faults.py", "test_checkpoint.py"),
    _src("yaml: the last of two equal keys wins", "utils/yaml.py",
         "if count > 1:", "if count > 2:", "faults/test_faults.py"),
    _src("signals: the first Ctrl-C ends the run at once", "utils/signals.py",
         "if self.signal is not None and number == signal.SIGINT:", "if number == signal.SIGINT:",
         "utils/test_signals.py", "training/test_kill.py"),
    _src("utils: an error that cannot be sent looks like a killed worker", "utils/pool.py",
         "if not _can_travel(error):", "if not error:", "utils/test_pool.py"),
    _src("utils: settings that the file does not name count as the same", "utils/ledger.py",
         'return "other" if self._differences(found) else "same"',
         'return "other" if set(self._differences(found)) & set(found) else "same"',
         "utils/test_resume_ledger.py"),
    _src("utils: a refused lock leaves the folders that it made", "utils/locks.py",
         "for folder in self._made:", "for folder in self._made[:0]:", "utils/test_locks.py"),
    _src("utils: the remedy names no extra", "utils/extras.py",
         """return f'pip install "cimnet[{extra}]"'""", """return 'pip install "cimnet"'""", "utils/test_extras.py"),
    # ---- command line, app
    _src("cli: an error ends with the code of a success with failures", "cli/main.py",
         "sys.exit(2)", "sys.exit(1)", "cli/test_bad_input.py"),
    _src("cli: failed pairs do not show in the exit code", "cli/predict.py",
         "        raise typer.Exit(1)", "        raise typer.Exit(0)", "cli/test_bad_input.py"),
    _src("app: a narrow picture is let through", "deploy/app/uploads.py",
         "if min(height, width) < LEAST_SIDE:", "if max(height, width) < LEAST_SIDE:", "deploy/app/test_uploads.py"),
    _src("app: the legend says left for right", "deploy/app/html.py",
         "'right' if dx >= 0 else 'left'", "'left' if dx >= 0 else 'right'", "deploy/app/test_page.py"),
    # ---- cross-validation
    _src("split: the tested groups of a fold are trained on, too", "curation/split/folds.py",
         "np.flatnonzero(tested != number)", "np.flatnonzero(tested >= 0)", "curation/split/test_folds.py"),
    _src("cross-validation: each model is scored on its val", "analysis/cross_validation/__init__.py",
         'self.lists.split(fold, "test"))', 'self.lists.split(fold, "val"))',
         "analysis/cross_validation/test_cross_validate.py"),
    _src("evaluation: the two models of a comparison are drawn apart", "evaluation/paired.py",
         "_miou(np.tensordot(times, count, 1), absent) for count in counts]",
         "_miou(np.tensordot(draw, count, 1), absent)"
         " for draw, count in zip((times, times[::-1]), counts, strict=True)]",
         "evaluation/test_paired.py"),
)  # fmt: skip
