"""Published RGB-thermal networks, written from their papers and specifications; official weights load into them."""

from cimnet.models.zoo import cainet, cmnext, cmx, eaefnet, feanet, gmnet, rtfnet, sigma
from cimnet.models.zoo.publication import Publication

_BY_YEAR = (rtfnet, feanet, gmnet, cmx, eaefnet, cmnext, cainet, sigma)
PUBLICATIONS: dict[str, Publication] = {
    name: publication for module in _BY_YEAR for name, publication in module.PUBLICATIONS.items()
}
"""What is known of each published network, by its name for :func:`cimnet.create_model`."""
