from functools import partial

from diffusion_tricks.generate.make import make


def made_together(recipes, model, max_rows=None, scorer=None):
    return [partial(make, r, model, max_rows=max_rows, scorer=scorer) for r in recipes]


def likeness(recipe):
    return (recipe.model, recipe.size, recipe.steps, recipe.scheduler)
