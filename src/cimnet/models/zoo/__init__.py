"""Published RGB-thermal networks, written from their papers and specifications; official weights load into them."""

from cimnet.models.zoo import sigma
from cimnet.models.zoo.publication import Publication

PUBLICATIONS: dict[str, Publication] = {
    name: publication for module in (sigma,) for name, publication in module.PUBLICATIONS.items()
}
"""What is known of each published network, by its name for :func:`cimnet.create_model`."""
