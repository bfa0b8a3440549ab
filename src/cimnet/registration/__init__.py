"""Misalignment of RGB and thermal images: estimate it, show it and correct it."""

from cimnet.registration.estimate import Alignment, align_pair, align_rig, pair_offset

__all__ = ["Alignment", "align_pair", "align_rig", "pair_offset"]
