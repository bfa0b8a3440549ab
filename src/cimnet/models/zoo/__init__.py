"""Published RGB-thermal networks, written from their papers and specifications; official weights load into them."""
