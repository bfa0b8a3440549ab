"""The layout and the events of the page. No event takes a path from the browser except
the two uploads', which gradio looks for in its own upload folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from cimnet.deploy.app import html
from cimnet.deploy.app.actions import Page
from cimnet.deploy.app.example_pairs import EXAMPLES
from cimnet.deploy.app.gradio_private import cache_folder, refuse_addresses
from cimnet.deploy.app.uploaded_pair import RANGES
from cimnet.deploy.app.uploads import Limits
from cimnet.errors import DataError
from cimnet.inference import Predictor

_KEEP = 900  # seconds that files and images of a visitor are kept
_SUFFIXES = [".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"]
_SLIDERS = {  # label, step
    "right": ("Shift right, px", 1),
    "down": ("Shift down, px", 1),
    "turn": ("Turn clockwise, °", 0.5),
    "blur": ("Blur, px", 0.5),
    "darken": ("Darken, stops", 0.5),
}
_SAVE = """(file) => {
  const link = document.createElement('a');
  link.href = file.url; link.download = file.orig_name; link.click();
}"""


class _Controls(NamedTuple):
    example: gr.Radio
    rgb: gr.File
    thermal: gr.File
    resize: gr.Checkbox
    said: gr.HTML
    sliders: list[gr.Slider]
    reset: gr.Button


class _Views(NamedTuple):
    overlay: gr.Image
    opacity: gr.Slider
    status: gr.HTML
    legend: gr.HTML
    alarms: gr.HTML
    rgb: gr.Image
    thermal: gr.Image
    offsets: gr.Image
    moved: gr.HTML
    saves: dict[str, gr.Button]
    file: gr.DownloadButton


def build(predictor: Predictor, limits: Limits, name: str) -> gr.Blocks:
    """The page for a model; `name` stands in its head."""
    with gr.Blocks(title=f"CIMNet · {name}", analytics_enabled=False, delete_cache=(60, _KEEP)) as page:
        gr.HTML(html.heading(name, predictor.info.name, len(predictor.classes)), elem_classes="cim-html")
        example = gr.Radio(list(EXAMPLES), value=EXAMPLES[0], label="Examples (synthetic scenes)", elem_id="examples")
        with gr.Row():
            with gr.Column(scale=4, min_width=300, elem_id="cim-controls"):
                controls = _controls(example, limits)
            with gr.Column(scale=9, min_width=300, elem_id="cim-results"):
                mask = _mask_views()
        views = _Views(*mask, *_detail_views())
        _connect(page, Page(predictor, limits), controls, views)
    return page


def _controls(example: gr.Radio, limits: Limits) -> _Controls:
    with gr.Group():
        with gr.Row():
            rgb, thermal = (
                gr.File(label=f"{label} image", file_types=_SUFFIXES, height=132, min_width=120, elem_id=key)
                for key, label in (("rgb", "RGB"), ("thermal", "Thermal"))
            )
        resize = gr.Checkbox(label="Resize thermal to RGB", elem_id="resize")
    said = gr.HTML(html.hint(limits), elem_id="said", elem_classes="cim-html")
    sliders = []
    for title, keys in (("Degrade the thermal image", ("right", "down", "turn", "blur")), ("Degrade RGB", ("darken",))):
        gr.HTML(html.title(title), elem_classes="cim-html")
        with gr.Group():
            for key in keys:
                label, step = _SLIDERS[key]
                low, high = RANGES[key]
                sliders.append(gr.Slider(low, high, 0, step=step, label=label, elem_id=key, buttons=[]))
    reset = gr.Button("Reset sliders", size="sm", elem_id="reset")
    return _Controls(example, rgb, thermal, resize, said, sliders, reset)


def _picture(label: str, key: str) -> gr.Image:
    return gr.Image(
        label=label, interactive=False, buttons=["fullscreen"], elem_id=key, elem_classes="cim-picture", format="png"
    )


def _mask_views() -> tuple[Any, ...]:
    overlay = _picture("Mask over RGB", "overlay")
    opacity = gr.Slider(0, 1, 0.55, step=0.05, label="Opacity of the mask", elem_id="opacity", buttons=[])
    status, legend, alarms = (gr.HTML(elem_id=key, elem_classes="cim-html") for key in ("status", "legend", "alarms"))
    return overlay, opacity, status, legend, alarms


def _detail_views() -> tuple[Any, ...]:
    pictures = []
    with gr.Row():
        for label, key in (("RGB", "seen_rgb"), ("Thermal", "seen_thermal")):
            with gr.Column(min_width=260):
                pictures.append(_picture(f"{label}, as the model sees it", key))
        with gr.Column(min_width=260):
            pictures.append(_picture("Offsets that the model finds", "offsets"))
    moved = gr.HTML(elem_id="moved", elem_classes="cim-html")
    gr.HTML(html.title("Save as PNG"), elem_classes="cim-html")
    with gr.Row():
        saves = {
            key: gr.Button(label, size="md", min_width=90, elem_id=f"save_{key}")
            for key, label in (("ids", "Class ids"), ("colors", "Colours"), ("overlay", "Overlay"))
        }
    file = gr.DownloadButton(visible=False)
    return *pictures, moved, saves, file


def _connect(page: gr.Blocks, actions: Page, controls: _Controls, views: _Views) -> None:
    pair, result = (gr.State(None, time_to_live=_KEEP) for _ in range(2))
    model: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}  # one pass at a time, whoever asks
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    latest: dict[str, Any] = {"trigger_mode": "always_last", **quiet}
    knobs = [controls.resize, *controls.sliders]
    seen: dict[str, Any] = {
        "fn": actions.segment,
        "inputs": [pair, views.opacity, *knobs],
        "outputs": [result, views.overlay, views.status, views.legend, views.rgb, views.thermal],
        **model,
        **quiet,
    }
    judged: dict[str, Any] = {
        "fn": actions.inspect,
        "inputs": [result],
        "outputs": [views.alarms, views.offsets, views.moved],
        **model,
        **quiet,
    }

    def then_segment(event: Any) -> None:
        event.then(**seen).then(**judged)

    chosen: dict[str, Any] = {"fn": actions.choose, "inputs": [controls.example]}
    fresh = [pair, controls.said, controls.rgb, controls.thermal, *controls.sliders]
    for trigger in (page.load, controls.example.input):
        then_segment(trigger(outputs=fresh, **chosen, **quiet))
    for sensor, file in (("rgb", controls.rgb), ("thermal", controls.thermal)):
        refuse_addresses(file)
        outputs = [pair, controls.said, file, controls.example]
        then_segment(file.upload(actions.uploader(sensor), [file, pair], outputs, **quiet))
        then_segment(file.clear(actions.remover(sensor), [pair], outputs, **quiet))
    then_segment(controls.reset.click(lambda: [0] * len(controls.sliders), None, controls.sliders, **quiet))
    touched = gr.on([controls.resize.input, *(slider.input for slider in controls.sliders)], **{**seen, **latest})
    touched.then(**judged)
    views.opacity.input(actions.blend, [result, views.opacity], views.overlay, **latest)
    for key, button in views.saves.items():
        saved = button.click(_saver(actions, key, views.file), [result, views.opacity], views.file, **quiet)
        saved.success(None, views.file, None, js=_SAVE)


def _saver(actions: Page, key: str, file: gr.DownloadButton) -> Callable[[Any, float], str]:
    def save(result: Any, opacity: float) -> str:
        try:
            name, picture = actions.download(key, result, opacity)
        except DataError as error:
            raise gr.Error(str(error), print_exception=False) from error
        path = Path(tempfile.mkdtemp(dir=cache_folder(file))) / name
        Image.fromarray(picture).save(path)
        return str(path)

    return save
