"""Every family of models, tiny and random: text encoders, networks, and the pipelines put together from them."""
