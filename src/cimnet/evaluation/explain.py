"""What happens inside CIMNet for one pair: the panels of the paper's Fig. 3 and 14, offsets, weights and errors.

One PNG figure with all panels, and one HTML page with the same panels and what they mean. Colours: cividis for
features and weights, which reads alike in grey print and for people who confuse red and green.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from cimnet.data.readers import read_label
from cimnet.errors import ConfigError, DataError
from cimnet.evaluation import report_figures as pictures
from cimnet.evaluation import report_page as html
from cimnet.evaluation.figures import save_figure
from cimnet.evaluation.offsets import found_offsets
from cimnet.files import write_text
from cimnet.inference import Predictor
from cimnet.inference.overlay import blend
from cimnet.models import CIMNet
from cimnet.models.scsfr import SCSFR

Map = npt.NDArray[np.floating[Any]]


class Panel(NamedTuple):
    """One picture: a title and an RGB image (H, W, 3), or offsets (2, H, W) for arrows, or curves by name."""

    title: str
    image: pictures.Image8 | None = None
    offset: Map | None = None
    curves: dict[str, Map] | None = None


class Section(NamedTuple):
    """Panels that belong together, at most four, and what they show."""

    title: str
    note: str
    panels: list[Panel]


@contextmanager
def record(model: CIMNet) -> Iterator[dict[str, Any]]:
    """Inputs and outputs of CIMNet's modules during one forward pass, by name."""
    seen: dict[str, Any] = {}
    modules: dict[str, nn.Module] = {"cipa": model.cipa}
    modules |= {f"scsfr{n}": module for n, module in enumerate(model.scsfr, start=1)}
    modules |= {f"ffm{n}": module for n, module in enumerate(model.ffm, start=1)}
    for n, stage in enumerate(model.scsfr, start=1):
        if isinstance(stage, SCSFR) and stage.spatial is not None:
            modules[f"spatial{n}"] = stage.spatial.weights
        if isinstance(stage, SCSFR) and stage.channel is not None:
            modules[f"channel{n}"] = stage.channel.mlp

    def keep(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            seen[name] = (inputs, output)

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def write_explanation(predictor: Predictor, rgb: Path, thermal: Path, out: Path, label: Path | None = None) -> Path:
    """Write ``out/explain.png`` and ``out/explain.html`` for one pair; returns the page.

    Args:
        rgb, thermal: image files; the same path for a 4-channel file.
        label: class ids, for the error map.

    Raises:
        ConfigError: if the model is not a CIMNet.
        DataError: if a file cannot be read or the sizes differ.
    """
    if not isinstance(predictor.model, CIMNet):
        raise ConfigError(f"explain shows the inside of CIMNet, but the checkpoint is a '{predictor.info.name}'")
    ready_rgb, ready_thermal = predictor.tensors(rgb, thermal)
    image = (255 * ready_rgb.permute(1, 2, 0).numpy()).round().astype(np.uint8)
    backdrop = (255 * ready_thermal[0].numpy()).round().astype(np.uint8)
    size = backdrop.shape
    truth = None if label is None else read_label(label)
    if truth is not None and truth.shape != size:
        raise DataError(f"{label}: is {truth.shape[1]}x{truth.shape[0]} but {rgb} is {size[1]}x{size[0]}")
    with record(predictor.model) as seen:
        prediction = predictor.predict(ready_rgb, ready_thermal)
    sections = [
        _images(predictor, image, backdrop, prediction, truth),
        *_features(predictor.model, seen, size),
        *_weights(predictor.model, seen, size),
        _offsets(predictor, ready_rgb, ready_thermal),
    ]
    sections = [section for section in sections if section.panels]
    save_figure(draw(sections, backdrop), out / "explain.png")
    page = out / "explain.html"
    write_text(page, _page(predictor, rgb, sections, backdrop))
    return page


def _images(
    predictor: Predictor, image: pictures.Image8, grey: pictures.Image8, prediction: Any, truth: Any | None
) -> Section:
    panels = [
        Panel("RGB", image),
        Panel("thermal", np.repeat(grey[..., None], 3, axis=2)),
        Panel("prediction", blend(image, prediction, predictor.colors, 0.6)),
    ]
    if truth is not None:
        wrong = float((prediction != truth)[truth != 255].mean()) if (truth != 255).any() else math.nan
        errors = pictures.paint_errors(truth, prediction, predictor.colors)
        panels.append(Panel(f"errors, {100 * wrong:.1f} % of pixels", errors))
    note = "What goes in and what comes out. Wrong pixels of the error map have the colour of the predicted class."
    return Section("The pair", note, panels)


def _features(model: CIMNet, seen: dict[str, Any], size: tuple[int, int]) -> list[Section]:
    """Stage 1 as in Fig. 14: before CIPA, after it, after SCSFR; and the fused maps of all stages."""
    before, after, rectified = seen["cipa"][0], seen["cipa"][1], seen["scsfr1"][1]
    pairs = [
        ("before CIPA", before[0], before[1]),
        ("after CIPA", after.rgb, after.thermal),
        ("after SCSFR", rectified.rgb, rectified.thermal),
    ]
    panels = [
        Panel(f"{name} {when}", heat(model, x, 1, size))
        for when, *maps in pairs
        for name, x in zip(("RGB", "thermal"), maps, strict=True)
    ]
    fused = [Panel(f"fused, stage {n}", heat(model, seen[f"ffm{n}"][1], n, size)) for n in (1, 2, 3, 4)]
    note = "Mean size of the features over channels, each panel from its own 1st to 99th percentile; bright is large."
    return [
        Section("Stage 1 through CIPA", note, panels[:4]),
        Section("Stage 1 after SCSFR", "The same after the two streams have exchanged what each lacks.", panels[4:]),
        Section("Fused features", "What FFM makes of the two streams, and the decoder gets.", fused),
    ]


def _weights(model: CIMNet, seen: dict[str, Any], size: tuple[int, int]) -> list[Section]:
    """Spatial weights (eq. 14) as maps and channel weights (eq. 19) as sorted curves, by stage."""
    spatial: dict[str, list[Panel]] = {"RGB": [], "thermal": []}
    channel = []
    for n in (1, 2, 3, 4):
        if f"spatial{n}" in seen:
            both = torch.sigmoid(seen[f"spatial{n}"][1].float())
            for name, x in zip(spatial, both.chunk(2, dim=1), strict=True):
                title = f"w of {name}, stage {n}: mean {x.mean():.2f}"
                spatial[name].append(Panel(title, heat(model, x, n, size, (0.0, 1.0))))
        if f"channel{n}" in seen:
            both = torch.sigmoid(seen[f"channel{n}"][1].float())[0].cpu()
            curves = {
                name: part.sort(descending=True).values.numpy()
                for name, part in zip(("RGB", "thermal"), both.chunk(2), strict=True)
            }
            channel.append(Panel(f"channel weights, stage {n}", curves=curves))
    note = "How much of a stream is added to the other at each place (eq. 14), from 0 (dark) to 1 (bright)."
    return [
        *(Section(f"Spatial weights of {name}", note, panels) for name, panels in spatial.items()),
        Section("Channel weights", "The same by channel (eq. 19), each curve sorted from its largest weight.", channel),
    ]


def _offsets(predictor: Predictor, rgb: Tensor, thermal: Tensor) -> Section:
    found = found_offsets(predictor.model, rgb.to(predictor.device), thermal.to(predictor.device))
    panels = [
        Panel(f"{name}: mean {np.hypot(*field).mean():.1f} px", offset=field)
        for name, field in found.items()
        if name != "alignment"
    ]
    if "alignment" in found:  # in place of the last stage, so that a row has at most four
        field = found["alignment"]
        panels = [*panels[:3], Panel(f"alignment: mean {np.hypot(*field).mean():.1f} px", offset=field)]
    note = "Averaged over the nine taps, in pixels of the image, over the thermal image. Each panel has its own scale."
    return Section("Offsets", note, panels)


def heat(
    model: CIMNet, x: Tensor, stage: int, size: tuple[int, int], limits: tuple[float, float] | None = None
) -> pictures.Image8:
    """A map (1, C, h, w) of a stage as a cividis image (H, W, 3): the mean of absolute values over channels.

    Args:
        limits: values drawn darkest and brightest; None: the map's own 1st and 99th percentile.
    """
    mean = x.float().abs().mean(1, keepdim=True)
    stride = 4 * 2 ** (stage - 1)
    padded = (stride * mean.shape[-2], stride * mean.shape[-1])
    full = model.restore(mean, padded, size)[0, 0].cpu().numpy()
    low, high = limits or tuple(np.percentile(full, (1, 99)))
    scaled = np.clip((full - low) / max(high - low, 1e-12), 0, 1)
    painted: pictures.Image8 = (255 * matplotlib.colormaps["cividis"](scaled)[..., :3]).round().astype(np.uint8)
    return painted


def draw(sections: list[Section], backdrop: pictures.Image8) -> Figure:
    """All sections as rows of one figure."""
    height, width = backdrop.shape
    figure = Figure(figsize=(12, len(sections) * (3 * height / width + 0.35)), layout="constrained")
    axes = figure.subplots(len(sections), 4, squeeze=False)
    for row, section in zip(axes, sections, strict=True):
        for place in row[len(section.panels) :]:
            place.axis("off")
        for place, panel in zip(row, section.panels, strict=False):
            place.set_title(panel.title, fontsize=9)
            if panel.curves is not None:
                _plot_curves(place, panel.curves)
                continue
            if panel.offset is not None:
                pictures.plot_arrows(place, backdrop, panel.offset, np.zeros(backdrop.shape, dtype=bool))
            else:
                place.imshow(panel.image)
            place.set(xticks=[], yticks=[])
    return figure


def _plot_curves(axes: Any, curves: dict[str, Map]) -> None:
    for (name, values), color, style in zip(curves.items(), ("#0072b2", "#e69f00"), ("-", "--"), strict=True):
        axes.plot(np.linspace(0, 1, len(values)), values, color=color, linestyle=style, label=name)
    axes.set(ylim=(0, 1), xlabel="share of channels")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _page(predictor: Predictor, rgb: Path, sections: list[Section], backdrop: pictures.Image8) -> str:
    def show(panel: Panel) -> str:
        if panel.offset is not None:
            still = np.zeros(backdrop.shape, dtype=bool)
            return pictures.draw_arrows(backdrop, panel.offset, still, panel.title)[0]
        if panel.curves is not None:
            figure = Figure(figsize=(4, 4 * backdrop.shape[0] / backdrop.shape[1]), layout="constrained")
            _plot_curves(figure.add_subplot(), panel.curves)
            return pictures.embed(figure, panel.title)
        assert panel.image is not None
        return pictures.photo(panel.image, panel.title)

    content = ""
    for section in sections:
        figures = "".join(html.figure(show(panel), panel.title) for panel in section.panels)
        content += html.section(section.title, section.note, f'<div class="row four">{figures}</div>')
    return html.page(
        title="CIMNet from the inside",
        subtitle=f"What the modules make of the pair {rgb.name}.",
        tiles=[],
        note="Read from the model's tensors for this one pair: it shows what the model does, not whether it is right.",
        facts=[("model", predictor.info.name), ("classes", str(len(predictor.classes)))],
        command=f"cimnet explain … --rgb {rgb.name}",
        content=content,
    )
