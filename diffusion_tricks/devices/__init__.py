"""Where a model runs, and how it fits into memory."""
