"""Redundancy of two feature maps, by probes that are independent of the training loss (paper III-B claims a
fall)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from cimnet.data import RGBTDataset
from cimnet.errors import DataError
from cimnet.models import CIMNet
from cimnet.models.mutual_information import joint_distribution, mutual_information

Matrix = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Redundancy:
    """The information that the stage-1 maps F_R and F_T share, over a set of images.

    Attributes:
        images, samples: how many images, and pooled cells of all of them.
        cka: linear centred kernel alignment, 0 (unrelated) to 1 (equal up to rotation and scale).
        r2: share of the thermal features' variance that ridge regression from the RGB features predicts on images that
            it was not fitted to, see :func:`ridge_r2`.
        r2_reverse: the same from thermal to RGB.
        estimate: the estimate of the model's own head, nats; NaN without a head.
        entropy_rgb, entropy_thermal: H(V_r), H(V_t) of the head, nats. A head that ignores its input has the
            estimate 0 whatever its entropies; entropies near 0: it knows one category only.
    """

    images: int
    samples: int
    cka: float
    r2: float
    r2_reverse: float
    estimate: float = math.nan
    entropy_rgb: float = math.nan
    entropy_thermal: float = math.nan


def linear_cka(x: Matrix, y: Matrix) -> float:
    """Linear CKA of two sets of features (N, C) and (N, D) (Kornblith et al., ICML 2019); NaN if one does not vary."""
    x, y = x - x.mean(0), y - y.mean(0)
    norm = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    return float(np.linalg.norm(y.T @ x) ** 2) / norm if norm > 0 else math.nan


def ridge_r2(x: Matrix, y: Matrix, penalty: float = 1e-3) -> float:
    """Predict ``y`` from ``x`` linearly: fit on one half of the images, score on the other, both ways, mean.

    Args:
        x, y: (images, cells, C) and (images, cells, D). Channels are standardised by the half that is fitted; those
            that hardly vary there (a thousandth of the mean spread of all channels) are left out.
        penalty: of the squared weights, relative to the number of samples.

    Returns:
        1 − (squared errors) / (squared distances from the mean of the half that is scored), both summed over all
        channels: at most 1, below 0 where the prediction is worse than that mean. NaN if nothing varies.

    Raises:
        ValueError: with fewer than two images.
    """
    if len(x) < 2 or x.shape[:2] != y.shape[:2]:
        raise ValueError(
            f"got features {x.shape} and {y.shape}, expected (images, cells, channels), two images or more"
        )
    first = np.arange(len(x)) < len(x) // 2  # not every second one: neighbours in a list may show the same place
    return float(np.mean([_fit_and_score(x, y, fitted, penalty) for fitted in (first, ~first)]))


def _fit_and_score(x: Matrix, y: Matrix, fitted: npt.NDArray[np.bool_], penalty: float) -> float:
    (x_fit, x_new), (y_fit, y_new) = (_standardise(values, fitted) for values in (x, y))
    if not x_fit.shape[1] or not y_fit.shape[1]:
        return math.nan
    gram = x_fit.T @ x_fit + penalty * len(x_fit) * np.eye(x_fit.shape[1])
    weights = np.linalg.solve(gram, x_fit.T @ y_fit)
    spread = ((y_new - y_new.mean(0)) ** 2).sum()
    return float(1 - ((y_new - x_new @ weights) ** 2).sum() / spread) if spread > 0 else math.nan


def _standardise(values: Matrix, fitted: npt.NDArray[np.bool_]) -> tuple[Matrix, Matrix]:
    first, second = (values[chosen].reshape(-1, values.shape[2]).astype(np.float64) for chosen in (fitted, ~fitted))
    mean, std = first.mean(0), first.std(0)
    varies = std > 1e-3 * std.mean()
    return ((first - mean)[:, varies] / std[varies], (second - mean)[:, varies] / std[varies])


def measure_redundancy(
    model: CIMNet, dataset: RGBTDataset, cells: int = 8, device: torch.device | str = "cpu"
) -> Redundancy:
    """Probe the stage-1 maps that CIPA receives, over all images of a data set.

    Args:
        cells: maps are averaged over cells × cells regions; each region is a sample.

    Raises:
        DataError: with fewer than two images.
    """
    if len(dataset) < 2:
        raise DataError(f"{dataset.root}, split '{dataset.split}': the probes need two images or more")
    maps: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = model.cipa.register_forward_pre_hook(lambda _, inputs: maps.append((inputs[0], inputs[1])))
    head = model.cipa.mi_head
    features: tuple[list[Matrix], list[Matrix]] = ([], [])
    tables = []
    try:
        with torch.inference_mode():
            for index in range(len(dataset)):
                sample = dataset.read(index)
                maps.clear()
                model.predict(sample.rgb[None].to(device), sample.thermal[None].to(device))
                for kept, x in zip(features, maps[0], strict=True):
                    pooled = F.adaptive_avg_pool2d(x.float(), cells)[0].flatten(1).T
                    kept.append(pooled.cpu().numpy())
                if head is not None:
                    tables.append(joint_distribution(*head.assign(*maps[0])))
    finally:
        hook.remove()
    rgb, thermal = (np.stack(kept) for kept in features)
    flat_rgb, flat_thermal = (x.reshape(-1, x.shape[2]).astype(np.float64) for x in (rgb, thermal))
    own = _head_says(torch.stack(tables).mean(0)) if tables else {}
    return Redundancy(
        images=len(rgb),
        samples=len(flat_rgb),
        cka=linear_cka(flat_rgb, flat_thermal),
        r2=ridge_r2(rgb, thermal),
        r2_reverse=ridge_r2(thermal, rgb),
        **own,
    )


def _head_says(joint: torch.Tensor) -> dict[str, float]:
    joint = joint.double()
    return {
        "estimate": float(mutual_information(joint)),
        "entropy_rgb": float(torch.special.entr(joint.sum(1)).sum()),
        "entropy_thermal": float(torch.special.entr(joint.sum(0)).sum()),
    }
