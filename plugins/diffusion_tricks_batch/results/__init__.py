"""What stands after a batch: scores, sheets, a gallery, a report."""
