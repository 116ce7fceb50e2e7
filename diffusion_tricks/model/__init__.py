"""A loaded model, and its answers in batches."""
