"""The command line of diffusion_tricks. `main.main` is its entry point."""
