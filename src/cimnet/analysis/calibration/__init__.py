"""How far to trust a model on a pair: calibrated probabilities, and alarms for broken sensors and misaligned pairs."""
