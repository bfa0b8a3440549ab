"""Where weights come from: a file, a run, a name on the Hub, the starter inside the package, a published network's own
code; and what of them fits another model."""
