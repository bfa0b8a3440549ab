"""Where RGB and thermal images disagree: estimating, showing and mending their misalignment."""

from cimnet.registration.estimate import Alignment, align_pair, align_rig, pair_offset

__all__ = ["Alignment", "align_pair", "align_rig", "pair_offset"]
