"""Texts of the page as HTML, from the macros in ``app_parts.html``, which escape what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.data.io.open_image import name_kinds
from cimnet.deploy.app.run_app import Result
from cimnet.deploy.app.uploads import Limits
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.overlay import class_shares
from cimnet.utils.colors import Color
from cimnet.utils.numbers import pluralize
from cimnet.utils.templates import load_templates

_ALARMS = {"rgb_broken": "RGB broken", "thermal_broken": "Thermal broken", "misaligned": "Misaligned"}


def _part(name: str, *values: Any) -> str:
    macros: Any = load_templates("cimnet.deploy.app", ".").get_template("app_parts.html").module
    return str(getattr(macros, name)(*values)).strip()


def heading(name: str, model: str, classes: int) -> str:
    """The head of the page: file and kind of the model."""
    return _part("heading", name, model, pluralize(classes, "class", "classes"))


def note(text: str, kind: str = "note") -> str:
    """A line of text; `kind`: ``note``, ``good``, ``warn`` or ``error``. Nothing for no text."""
    return _part("note", text, kind) if text else ""


def title(text: str) -> str:
    """The title of some controls."""
    return _part("title", text)


def hint(limits: Limits) -> str:
    """Return the note about files that can be uploaded."""
    return note(
        f"{name_kinds()}, up to {limits.megabytes:g} MB and {limits.pixels / 1e6:g} megapixels. Thermal: grey, "
        "of the depth (8 or 16 bit) that the model was trained on."
    )


def legend(mask: npt.NDArray[np.uint8], classes: Sequence[str], colors: Sequence[Color]) -> str:
    """The classes that occur in a mask (H, W), the largest first, with their share of the pixels."""
    return _part("legend", [(classes[k], colors[k], share) for k, share in class_shares(mask, len(classes))])


def status(result: Result) -> str:
    """Size, time, and which image was missing."""
    height, width = result.mask.shape
    text = f"{width}×{height} pixels · model {1000 * result.seconds:.0f} ms"
    if result.missing is None:
        return note(text)
    return note(f"{text} · no {result.missing} image: the model sees black in its place", "warn")


def alarms(alarm: Alarm | None, calibrated: bool) -> str:
    """Return the alarms for a broken sensor or a misaligned pair."""
    if not calibrated:
        return note(
            "This checkpoint has no alarms for broken sensors and misaligned pairs; run cimnet calibrate on it to get "
            "them."
        )
    if alarm is None:
        return note("Alarms need both images.")
    rows = [(_ALARMS[name], share, name in alarm.raised) for name, share in alarm.probabilities.items()]
    said = [text[0].upper() + text[1:] + "." for text in alarm.texts.values()]
    text = note(" ".join(said), "warn") if said else note("No alarm: both images look sound and aligned.", "good")
    return text + _part("alarms", rows)


def moved(found: tuple[str, npt.NDArray[np.float32]] | None, factor: int) -> str:
    """Explain the arrows."""
    if found is None:
        return note("No offsets: an image is missing, or the model does not move anything.")
    name, field = found
    if float(np.hypot(*field).max()) < 0.05:
        return note("The model finds nothing to move: it takes the two images as aligned.")
    dy, dx = (float(np.median(axis)) for axis in field)
    which = "explicit alignment" if name == "alignment" else "SCSFR, stage 1, mean over the taps"
    times = f" Arrows are drawn {factor} times as long." if factor > 1 else ""
    return note(
        f"From where RGB shows a thing to where the model looks for it in the thermal image ({which}). "
        f"Median: {abs(dx):.1f} px {'right' if dx >= 0 else 'left'}, {abs(dy):.1f} px {'down' if dy >= 0 else 'up'}."
        f"{times}"
    )
