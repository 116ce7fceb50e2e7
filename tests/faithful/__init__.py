"""Pictures of every kind, changed in part, written, and read by others: what was not changed is what it was."""
