"""Sweeps: a picture for each value of an option, or for each pair of values of two, and the sheets that show them."""
