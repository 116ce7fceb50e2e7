"""Engines: what brings groups of jobs to workers, and their outcomes back."""
