"""What can go wrong, made to go wrong: each harness states a promise, makes cases, and counts those that break it."""
