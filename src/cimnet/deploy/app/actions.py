"""The actions of the page: they take states and values, and return values for the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from cimnet.deploy.app import draw, html
from cimnet.deploy.app.example_pairs import example
from cimnet.deploy.app.run_app import Result, judge, offsets, segment
from cimnet.deploy.app.uploaded_pair import RANGES, Knobs, Pair
from cimnet.deploy.app.uploads import Limits, read_upload_rgb, read_upload_thermal
from cimnet.errors import CheckpointError, CimnetError, DataError
from cimnet.inference import Predictor
from cimnet.inference.overlay import overlay_mask, to_bytes
from cimnet.utils.colors import colorize

Values = tuple[Any, ...]


class Page:
    """The actions for one model."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits

    def choose(self, name: str) -> Values:
        """An example: pair, note, no files, sliders at 0."""
        return (example(name), html.hint(self.limits), None, None, *[0] * len(RANGES))

    def uploader(self, sensor: str) -> Callable[[str, Pair | None], Values]:
        """Read an uploaded file of ``rgb`` or ``thermal``: pair, note, the file or nothing, no example. A file that
        cannot be used leaves the pair as it was."""

        def upload(path: str, pair: Pair | None) -> Values:
            before = Pair() if pair is None or pair.example else pair
            try:
                if sensor == "rgb":
                    after = replace(before, rgb=read_upload_rgb(Path(path), self.limits))
                else:
                    after = replace(before, thermal=read_upload_thermal(Path(path), self.limits, self.predictor))
            except DataError as error:
                Path(path).unlink(missing_ok=True)
                return gr.skip(), html.note(str(error), "error"), None, gr.skip()
            return after, html.hint(self.limits), gr.skip(), None

        return upload

    def remover(self, sensor: str) -> Callable[[Pair | None], Values]:
        """Take back the file of a sensor."""

        def remove(pair: Pair | None) -> Values:
            if pair is None or pair.example:
                return gr.skip(), html.hint(self.limits), gr.skip(), gr.skip()
            rest = replace(pair, rgb=None) if sensor == "rgb" else replace(pair, thermal=None)
            return rest, html.hint(self.limits), gr.skip(), gr.skip()

        return remove

    def segment(self, pair: Pair | None, opacity: float, resize: bool, *knobs: float) -> Values:
        """Result, overlay, status, legend, and both images as the model sees them."""
        if pair is None or pair.empty:
            return None, None, html.note("Choose an example or upload a pair."), "", None, None
        try:
            result = segment(self.predictor, pair, Knobs(*knobs), resize)
        except CimnetError as error:
            return None, None, html.note(str(error), "error"), "", None, None
        return (
            result,
            self.blend(result, opacity),
            html.status(result),
            html.legend(result.mask, self.predictor.classes, self.predictor.colors),
            draw.view(result.rgb),
            draw.view(to_bytes(result.thermal)),
        )

    def inspect(self, result: Result | None) -> Values:
        """Alarms, the picture of offsets, and what it means."""
        if result is None:
            return "", None, ""
        try:
            said = html.alarms(judge(self.predictor, result), self.predictor.info.alarm is not None)
        except CheckpointError as error:
            said = html.note(str(error), "error")
        found = offsets(self.predictor, result)
        if found is None:
            return said, None, html.moved(None, 1)
        picture, factor = draw.arrows(result.thermal, found[1])
        return said, picture, html.moved(found, factor)

    def blend(self, result: Result | None, opacity: float) -> Any:
        """The overlay; the model does not run."""
        if result is None:
            return None
        return draw.view(overlay_mask(result.rgb, result.mask, self.predictor.colors, opacity))

    def download(self, key: str, result: Result | None, opacity: float) -> tuple[str, Any]:
        """File name and pixels of ``ids``, ``colors`` or ``overlay``, in all its pixels.

        Raises:
            DataError: there is no mask.
        """
        if result is None:
            raise DataError("There is no mask to save; choose an example or upload a pair.")
        if key == "ids":
            return "mask_ids.png", result.mask
        if key == "colors":
            return "mask_colors.png", colorize(result.mask, self.predictor.colors)
        return "overlay.png", overlay_mask(result.rgb, result.mask, self.predictor.colors, opacity)
