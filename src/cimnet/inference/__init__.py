"""Prediction of masks and pictures with a checkpoint. Folders, lists and resuming: :mod:`cimnet.inference.jobs`."""

from cimnet.inference.open_model import load
from cimnet.inference.predictor import Predictor

__all__ = ["Predictor", "load"]
