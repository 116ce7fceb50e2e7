"""Adapters over diffusers' pipelines: one family for each kind of model."""
