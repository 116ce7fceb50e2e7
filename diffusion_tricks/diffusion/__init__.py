"""The mathematics of diffusion: schedulers, noise levels, asks and estimates."""
