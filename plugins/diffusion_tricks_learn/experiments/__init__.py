"""One module for each lesson: what it computes, as a generator of findings that grow."""
