"""From a checkpoint to masks and pictures. Folders, lists and resuming: :mod:`cimnet.inference.jobs`."""

from cimnet.inference.predictor import Predictor, load

__all__ = ["Predictor", "load"]
