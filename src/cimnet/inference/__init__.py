"""From a checkpoint to masks and pictures. Folders, lists and resuming: :mod:`cimnet.inference.jobs`."""

from cimnet.inference.open_model import load
from cimnet.inference.predictor import Predictor

__all__ = ["Predictor", "load"]
