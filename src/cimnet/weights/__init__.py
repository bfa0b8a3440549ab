"""Sources of weights: a file, a run, a name on the Hub, the starter inside the package, a published network's own code;
and loading the part of them that fits another model."""
