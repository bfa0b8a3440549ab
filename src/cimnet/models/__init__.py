"""Models: pure PyTorch, no files, no training code."""

from cimnet.models.base import RGBTModel
from cimnet.models.baselines.single import SingleStream
from cimnet.models.cimnet import CIMNet
from cimnet.models.output import Output
from cimnet.models.registry import create_model, list_models, register_model

__all__ = ["CIMNet", "Output", "RGBTModel", "SingleStream", "create_model", "list_models", "register_model"]
