"""How a batch goes on, told while it does, from within and from outside."""
