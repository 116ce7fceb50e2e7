"""Lists of jobs: what they say, what varies, and what the files are called."""
