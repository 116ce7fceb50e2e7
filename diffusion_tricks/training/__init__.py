"""How the embedded model was trained; needed to train it again, never at run time."""
