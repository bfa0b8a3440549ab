"""How sure a model may be of a pair: calibrated probabilities, and alarms for broken sensors and misaligned pairs."""
