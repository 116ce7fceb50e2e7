"""How plugins are found, and what they register, once a process. No torch here."""
