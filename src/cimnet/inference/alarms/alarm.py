"""The three alarms of a checkpoint: fitted, stored as plain numbers, and applied to a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cimnet.errors import CheckpointError, DataError
from cimnet.inference.alarms.detector import Detector, fit_detector
from cimnet.inference.alarms.thresholds import ALARMS, threshold_for

VERSION = 1
FALSE_ALARMS = 0.05  # share of sound pairs
_FOLDS = 5
_LEAST = 8  # sound pairs, and pairs that raise an alarm, without which a threshold means nothing

_IMAGE = ("brightness", "contrast", "at_low", "at_high", "sharpness", "noise", "pattern", "direction")
_MODEL = ("sureness", "without_thermal", "without_rgb")
NUMBERS: dict[str, tuple[str, ...]] = {
    "rgb_broken": (*(f"rgb_{name}" for name in (*_IMAGE, "colour", "veil", "blocks")), *_MODEL),
    "thermal_broken": (*(f"thermal_{name}" for name in _IMAGE), "agreement", *_MODEL),
    "misaligned": (
        *("agreement", "gain", "shift", "local_gain", "local_shift", "flow"),
        *(f"{sensor}_{name}" for sensor in ("rgb", "thermal") for name in ("contrast", "sharpness", "noise")),
        *_MODEL,
    ),
}
"""What each alarm looks at; `image_features` and `model_features` say what the numbers are."""

_WORDS = {
    "brightness": "brightness",
    "contrast": "contrast",
    "at_low": "share of darkest pixels",
    "at_high": "share of brightest pixels",
    "sharpness": "sharpness",
    "noise": "noise",
    "pattern": "row or column pattern",
    "direction": "blur along one axis",
    "colour": "colours",
    "veil": "darkest parts",
    "blocks": "JPEG blocks",
    "agreement": "edges that do not agree with the other image's",
    "gain": "edges that agree better when shifted",
    "shift": "the shift at which edges agree best",
    "local_gain": "parts that agree better when shifted",
    "local_shift": "parts that agree best when shifted",
    "flow": "the offset that the model finds",
    "sureness": "how sure the model is",
    "without_thermal": "what the thermal image changes in the mask",
    "without_rgb": "what the RGB image changes in the mask",
}
_SENTENCES = {
    "rgb_broken": "the RGB image looks broken",
    "thermal_broken": "the thermal image looks broken",
    "misaligned": "RGB and thermal image do not lie on each other",
}


@dataclass(frozen=True)
class Alarm:
    """The verdict on one pair.

    Attributes:
        probabilities: probability, 0..1, of each alarm: ``rgb_broken``, ``thermal_broken`` and ``misaligned``. They
            assume that faulty and sound pairs are equally frequent.
        raised: names of the alarms above their threshold.
        texts: by name of a raised alarm, a sentence that names the sensor and the strongest evidence.
    """

    probabilities: dict[str, float]
    raised: tuple[str, ...]
    texts: dict[str, str]


@dataclass(frozen=True)
class AlarmModel:
    """The detectors by alarm; `second`: what sentences call the second image."""

    detectors: dict[str, Detector]
    second: str = "thermal"

    def __call__(self, numbers: Mapping[str, float]) -> Alarm:
        """Judge a pair by its numbers (`cimnet.inference.alarms.model_features.measure`)."""
        probabilities = {name: detector.probability(numbers) for name, detector in self.detectors.items()}
        raised = tuple(name for name, p in probabilities.items() if p > self.detectors[name].threshold)
        return Alarm(
            probabilities, raised, {name: self._sentence(name, probabilities[name], numbers) for name in raised}
        )

    def _sentence(self, name: str, probability: float, numbers: Mapping[str, float]) -> str:
        parts = self.detectors[name].parts(numbers)
        most = max(parts, key=lambda part: parts[part])
        word = _WORDS[most.removeprefix("rgb_").removeprefix("thermal_")]
        sensor = f"{most.partition('_')[0]} " if name == "misaligned" and most.startswith(("rgb_", "thermal_")) else ""
        text = f"{_SENTENCES[name]} ({probability:.0%}; most of all: {sensor}{word})"
        return text.replace("thermal", self.second)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"version": VERSION, "detectors": {name: d.to_dict() for name, d in self.detectors.items()}}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], second: str = "thermal") -> AlarmModel:
        """Build the model from the result of :meth:`to_dict`.

        Raises:
            CheckpointError: something else, or an alarm of another version of this package.
        """
        try:
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']}")
            detectors = {name: Detector.from_dict(content["detectors"][name]) for name in ALARMS}
            unknown = {n for d in detectors.values() for n in d.names} - {n for ns in NUMBERS.values() for n in ns}
            if unknown:
                raise ValueError(f"numbers unknown here: {', '.join(sorted(unknown))}")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(
                f"the checkpoint's alarm was written by another version of cimnet ({error}); run `cimnet calibrate` "
                "again"
            ) from error
        return cls(detectors, second)


@dataclass(frozen=True)
class MeasuredCase:
    """A case as numbers; `truth`, `pair`, `defect`, `sound` as in `cimnet.analysis.calibration.defects.Case`."""

    numbers: dict[str, float]
    truth: dict[str, bool]
    pair: int
    defect: str
    sound: bool


def fit_alarm(measured: Sequence[MeasuredCase]) -> AlarmModel:
    """Fit the three alarms.

    Each threshold is the larger of one half and that which at most 5 % of the sound pairs exceed, each judged by a fit
    that has not seen it.

    Raises:
        DataError: too few sound pairs, or too few cases of an alarm.
    """
    sound = sum(case.sound for case in measured)
    if sound < _LEAST:
        raise DataError(f"alarm: {sound} sound pairs in the split, at least {_LEAST} are needed; give a larger split")
    return AlarmModel({name: _fit_one(measured, name) for name in ALARMS})


def _fit_one(measured: Sequence[MeasuredCase], alarm: str) -> Detector:
    known = [case for case in measured if alarm in case.truth]
    true = sum(case.truth[alarm] for case in known)
    if true < _LEAST:
        raise DataError(
            f"alarm {alarm}: {true} cases of it in the split, at least {_LEAST} are needed; give a larger split, of "
            "images of 64 pixels or more"
        )
    held = []
    for fold in range(_FOLDS):
        rest = [case for case in known if case.pair % _FOLDS != fold]
        unseen = [case.numbers for case in known if case.pair % _FOLDS == fold and case.sound]
        if unseen and len({case.truth[alarm] for case in rest}) == 2:
            detector = _fit(rest, alarm)
            held += [detector.probability(numbers) for numbers in unseen]
    whole = _fit(known, alarm)
    threshold = max(0.5, threshold_for(held, FALSE_ALARMS)) if held else 0.5
    return replace(whole, threshold=threshold)


def _fit(cases: Sequence[MeasuredCase], alarm: str) -> Detector:
    return fit_detector([case.numbers for case in cases], [case.truth[alarm] for case in cases], NUMBERS[alarm])
