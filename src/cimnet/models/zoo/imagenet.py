"""ImageNet weights for the trunks that come from torchvision."""

from __future__ import annotations

from torch import nn
from torchvision.models import WeightsEnum

from cimnet.errors import ConfigError, one_line


def load_imagenet(network: nn.Module, weights: WeightsEnum) -> None:
    """Fetch ``weights``, or take them from torch's cache, and load them into the torchvision ``network``.

    Raises:
        ConfigError: if they cannot be loaded.
    """
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, no place; a file that was cut short
        raise ConfigError(
            f"no ImageNet weights ({weights.url}): {one_line(error)}; connect once, put the file into torch's folder "
            "hub/checkpoints, or set model.pretrained=false"
        ) from error
    network.load_state_dict(state)
