"""What a plugin is made of, and how it is found."""
