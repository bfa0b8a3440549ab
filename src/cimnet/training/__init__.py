"""Training by recipe."""

from cimnet.training.loop import train

__all__ = ["train"]
