"""From a checkpoint to masks and pictures."""

from cimnet.inference.jobs.folder import match_pairs, predict_pairs
from cimnet.inference.predictor import Predictor, load

__all__ = ["Predictor", "load", "match_pairs", "predict_pairs"]
