"""Pictures and files; knows no diffusion."""
