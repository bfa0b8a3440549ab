"""Tiny data sets in each real layout, made from a seed."""
