"""The denoising loop."""
