"""Uncertainty of a mask."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cimnet.inference.images import ImageLike
from cimnet.inference.predictor import Predictor


def predict_with_uncertainty(
    predictor: Predictor, rgb: ImageLike, thermal: ImageLike
) -> tuple[npt.NDArray[np.uint8], float]:
    """Class ids (H, W), and the mean entropy of the pixels' probabilities as a share of its largest value, 0..1.

    The entropy is that of :meth:`Predictor.predict_proba`, with the checkpoint's temperature where it has one.

    Raises:
        DataError: as `Predictor.predict`.
    """
    shares = predictor.predict_proba(rgb, thermal)
    entropy = -(shares * np.log(np.clip(shares, 1e-12, 1))).sum(axis=0).mean() / np.log(len(shares))
    return shares.argmax(axis=0).astype(np.uint8), float(entropy)
