"""Many pictures with one command: which they are, what they are called, what has been done, and what went wrong."""
