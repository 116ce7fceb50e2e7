"""Text on a picture: lines that fit, places that do not overlap, and ink that can be read.

No paper: this is a typesetter's craft. The overlay trick is built of it; no torch here.
"""
