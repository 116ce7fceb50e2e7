"""The authors' door: all that tricks, views and other plugins are made of. The built-in ones import nothing else.

    from diffusion_tricks.plugin import Trick, TrickOptions, hookimpl, option

What a plugin may do stands in `diffusion_tricks.hookspecs`, and in full in docs/hooks.md; checks for its tests are in
`diffusion_tricks.testing`.
Names are imported when first used, so that registering costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.lazy import opening

if TYPE_CHECKING:
    from diffusion_tricks.devices.choice import device_of as device_of
    from diffusion_tricks.devices.quiet import quiet_libraries as quiet_libraries
    from diffusion_tricks.diffusion.ask import Ask as Ask
    from diffusion_tricks.diffusion.ask import Asking as Asking
    from diffusion_tricks.diffusion.ask import Inside as Inside
    from diffusion_tricks.diffusion.conditioning import Condition as Condition
    from diffusion_tricks.diffusion.conditioning import Control as Control
    from diffusion_tricks.diffusion.estimate import Estimate as Estimate
    from diffusion_tricks.diffusion.estimate import mean as mean
    from diffusion_tricks.diffusion.noise_level import Level as Level
    from diffusion_tricks.diffusion.prompt_grammar import composed as composed
    from diffusion_tricks.diffusion.prompt_grammar import plain as plain
    from diffusion_tricks.diffusion.schedulers import SCHEDULERS as SCHEDULERS
    from diffusion_tricks.errors import DiffusionTricksError as DiffusionTricksError
    from diffusion_tricks.errors import ModelError as ModelError
    from diffusion_tricks.errors import OutOfMemory as OutOfMemory
    from diffusion_tricks.errors import OutputError as OutputError
    from diffusion_tricks.errors import OutputFailed as OutputFailed
    from diffusion_tricks.errors import PictureError as PictureError
    from diffusion_tricks.errors import PluginError as PluginError
    from diffusion_tricks.errors import RecipeError as RecipeError
    from diffusion_tricks.errors import UnknownName as UnknownName
    from diffusion_tricks.errors import UsageError as UsageError
    from diffusion_tricks.families.base import Family as Family
    from diffusion_tricks.families.controlnet import control as control
    from diffusion_tricks.families.defaults import Defaults as Defaults
    from diffusion_tricks.families.inside import Attended as Attended
    from diffusion_tricks.families.inside import Attention as Attention
    from diffusion_tricks.families.inside import Without as Without
    from diffusion_tricks.families.inside import attentions as attentions
    from diffusion_tricks.families.inside import layers_of as layers_of
    from diffusion_tricks.families.shapes import Shape as Shape
    from diffusion_tricks.families.table import FamilyRow as FamilyRow
    from diffusion_tricks.families.table import Serves as Serves
    from diffusion_tricks.families.word_places import Placed as Placed
    from diffusion_tricks.families.word_places import word_places as word_places
    from diffusion_tricks.generate.at_once import pictures_that_fit as pictures_that_fit
    from diffusion_tricks.generate.plan import plan as plan
    from diffusion_tricks.generate.rehearsal import check_before as check_before
    from diffusion_tricks.generate.score import Scorer as Scorer
    from diffusion_tricks.generate.scorers import scorer_named as scorer_named
    from diffusion_tricks.generate.shown import seen_through as seen_through
    from diffusion_tricks.generate.shown import shown as shown
    from diffusion_tricks.generate.shown import shown_in as shown_in
    from diffusion_tricks.generate.shown import shown_through as shown_through
    from diffusion_tricks.hosting.api import API_VERSION as API_VERSION
    from diffusion_tricks.hosting.host import host as host
    from diffusion_tricks.hosting.host_hooks import hookimpl as hookimpl
    from diffusion_tricks.io.animation import Animation as Animation
    from diffusion_tricks.io.atomic import atomic_write as atomic_write
    from diffusion_tricks.io.atomic import atomic_write_all as atomic_write_all
    from diffusion_tricks.io.atomic import check_place as check_place
    from diffusion_tricks.io.blur import convolved as convolved
    from diffusion_tricks.io.blur import gaussian as gaussian
    from diffusion_tricks.io.blur import gaussian_blur as gaussian_blur
    from diffusion_tricks.io.colour import colour_from_srgb as colour_from_srgb
    from diffusion_tricks.io.colour import from_srgb as from_srgb
    from diffusion_tricks.io.colour import to_srgb as to_srgb
    from diffusion_tricks.io.encode import check_quality as check_quality
    from diffusion_tricks.io.encode import format_of as format_of
    from diffusion_tricks.io.fallback import Stack as Stack
    from diffusion_tricks.io.fallback import clusters as clusters
    from diffusion_tricks.io.fallback import is_emoji as is_emoji
    from diffusion_tricks.io.fallback import stack_for as stack_for
    from diffusion_tricks.io.fallback import strike_of as strike_of
    from diffusion_tricks.io.fonts import FONT_FILES as FONT_FILES
    from diffusion_tricks.io.fonts import SHIPPED as SHIPPED
    from diffusion_tricks.io.fonts import Typeface as Typeface
    from diffusion_tricks.io.fonts import check_glyphs as check_glyphs
    from diffusion_tricks.io.fonts import direction_of as direction_of
    from diffusion_tricks.io.fonts import find_typeface as find_typeface
    from diffusion_tricks.io.fonts import font_folders as font_folders
    from diffusion_tricks.io.fonts import font_for as font_for
    from diffusion_tricks.io.fonts import is_invisible as is_invisible
    from diffusion_tricks.io.foreign import object_in as object_in
    from diffusion_tricks.io.grid import labelled_grid as labelled_grid
    from diffusion_tricks.io.hashes import sampled as sampled
    from diffusion_tricks.io.hashes import sha256 as sha256
    from diffusion_tricks.io.journal import Journal as Journal
    from diffusion_tricks.io.journal import Line as Line
    from diffusion_tricks.io.ledger import Ledger as Ledger
    from diffusion_tricks.io.ledger import Task as Task
    from diffusion_tricks.io.ledger import Verdict as Verdict
    from diffusion_tricks.io.lettering import Block as Block
    from diffusion_tricks.io.lettering import block as block
    from diffusion_tricks.io.pictures import Picture as Picture
    from diffusion_tricks.io.pictures import picture_size as picture_size
    from diffusion_tricks.io.pictures import pixel_limit as pixel_limit
    from diffusion_tricks.io.pictures import read_picture as read_picture
    from diffusion_tricks.io.pictures import write_picture as write_picture
    from diffusion_tricks.io.pixels import alpha_of as alpha_of
    from diffusion_tricks.io.pixels import fit as fit
    from diffusion_tricks.io.pixels import flatten as flatten
    from diffusion_tricks.io.pixels import to_images as to_images
    from diffusion_tricks.io.pixels import to_tensor as to_tensor
    from diffusion_tricks.io.raster import Raster as Raster
    from diffusion_tricks.io.raster import Repainted as Repainted
    from diffusion_tricks.io.raster import changed_pixels as changed_pixels
    from diffusion_tricks.io.source import Source as Source
    from diffusion_tricks.loading.cards import model_card as model_card
    from diffusion_tricks.loading.controlnet import controlnet_for as controlnet_for
    from diffusion_tricks.metrics import bootstrap as bootstrap
    from diffusion_tricks.metrics import diversity as diversity
    from diffusion_tricks.metrics import frechet_distance as frechet_distance
    from diffusion_tricks.metrics import kernel_distance as kernel_distance
    from diffusion_tricks.metrics import psnr as psnr
    from diffusion_tricks.metrics import sharpness as sharpness
    from diffusion_tricks.model.prompt_store import prompts_kept as prompts_kept
    from diffusion_tricks.recipes.inputs import hashes_of as hashes_of
    from diffusion_tricks.recipes.paths import mapped as mapped
    from diffusion_tricks.recipes.paths import paths as paths
    from diffusion_tricks.recipes.ranges import range_in as range_in
    from diffusion_tricks.recipes.reading import anchored as anchored
    from diffusion_tricks.recipes.recipe import recipe_from as recipe_from
    from diffusion_tricks.recipes.record import check_save as check_save
    from diffusion_tricks.recipes.record import read_record as read_record
    from diffusion_tricks.recipes.record import sidecar_path as sidecar_path
    from diffusion_tricks.recipes.schema import recipe_schema as recipe_schema
    from diffusion_tricks.registry.branch import Branch as Branch
    from diffusion_tricks.registry.branch import Prompted as Prompted
    from diffusion_tricks.registry.branch import plain_prompts as plain_prompts
    from diffusion_tricks.registry.branch import prompts_of as prompts_of
    from diffusion_tricks.registry.branch import shown_by as shown_by
    from diffusion_tricks.registry.from_words import from_words as from_words
    from diffusion_tricks.registry.options import Share as Share
    from diffusion_tricks.registry.options import TrickOptions as TrickOptions
    from diffusion_tricks.registry.options import argument as argument
    from diffusion_tricks.registry.options import option as option
    from diffusion_tricks.registry.trick import Shown as Shown
    from diffusion_tricks.registry.trick import Trick as Trick
    from diffusion_tricks.registry.view import View as View
    from diffusion_tricks.registry.view import orthogonality_error as orthogonality_error
    from diffusion_tricks.registry.view import view_named as view_named
    from diffusion_tricks.sampling.aside import answered_at as answered_at
    from diffusion_tricks.sampling.bring import bring as bring
    from diffusion_tricks.sampling.run import Run as Run
    from diffusion_tricks.sampling.slopes import followed as followed
    from diffusion_tricks.sampling.slopes import slope as slope
    from diffusion_tricks.sampling.start import Start as Start
    from diffusion_tricks.sampling.step import Step as Step
    from diffusion_tricks.sampling.tricks import refuse_clashes as refuse_clashes
    from diffusion_tricks.types import Box as Box
    from diffusion_tricks.types import Fit as Fit
    from diffusion_tricks.types import Outline as Outline
    from diffusion_tricks.types import Prompt as Prompt
    from diffusion_tricks.types import Size as Size
    from diffusion_tricks.types import Spans as Spans

_HOMES = {
    "devices.choice": ("device_of",),
    "devices.quiet": ("quiet_libraries",),
    "diffusion.ask": (
        "Ask",
        "Asking",
        "Inside",
    ),
    "diffusion.conditioning": (
        "Condition",
        "Control",
    ),
    "diffusion.estimate": (
        "Estimate",
        "mean",
    ),
    "diffusion.noise_level": ("Level",),
    "diffusion.prompt_grammar": ("composed", "plain"),
    "diffusion.schedulers": ("SCHEDULERS",),
    "errors": (
        "DiffusionTricksError", "ModelError", "OutOfMemory", "OutputError", "OutputFailed", "PictureError",
        "PluginError", "RecipeError", "UnknownName", "UsageError",
    ),
    "families.base": ("Family",),
    "families.controlnet": ("control",),
    "families.defaults": ("Defaults",),
    "families.inside": ("Attended", "Attention", "Without", "attentions", "layers_of"),
    "families.shapes": ("Shape",),
    "families.table": ("FamilyRow", "Serves"),
    "families.word_places": ("Placed", "word_places"),
    "generate.at_once": ("pictures_that_fit",),
    "generate.plan": ("plan",),
    "generate.rehearsal": ("check_before",),
    "generate.score": ("Scorer",),
    "generate.scorers": ("scorer_named",),
    "generate.shown": ("seen_through", "shown", "shown_in", "shown_through"),
    "io.animation": ("Animation",),
    "io.atomic": ("atomic_write", "atomic_write_all", "check_place"),
    "io.blur": ("convolved", "gaussian", "gaussian_blur"),
    "io.colour": ("colour_from_srgb", "from_srgb", "to_srgb"),
    "io.encode": ("check_quality", "format_of"),
    "io.fallback": ("Stack", "clusters", "is_emoji", "stack_for", "strike_of"),
    "io.fonts": (
        "FONT_FILES",
        "SHIPPED",
        "Typeface",
        "check_glyphs",
        "direction_of",
        "find_typeface",
        "font_folders",
        "font_for",
        "is_invisible",
    ),
    "io.foreign": ("object_in",),
    "io.grid": ("labelled_grid",),
    "io.hashes": ("sampled", "sha256"),
    "io.journal": ("Journal", "Line"),
    "io.ledger": ("Ledger", "Task", "Verdict"),
    "io.lettering": ("Block", "block"),
    "io.pictures": (
        "Picture",
        "pixel_limit",
        "picture_size",
        "read_picture",
        "write_picture",
    ),
    "io.pixels": (
        "alpha_of",
        "fit",
        "flatten",
        "to_images",
        "to_tensor",
    ),
    "io.raster": ("Raster", "Repainted", "changed_pixels"),
    "io.source": ("Source",),
    "loading.cards": ("model_card",),
    "loading.controlnet": ("controlnet_for",),
    "model.prompt_store": ("prompts_kept",),
    "metrics": ("bootstrap", "diversity", "frechet_distance", "kernel_distance", "psnr", "sharpness"),
    "recipes.inputs": ("hashes_of",),
    "recipes.paths": ("mapped", "paths"),
    "recipes.ranges": ("range_in",),
    "recipes.reading": ("anchored",),
    "recipes.recipe": ("recipe_from",),
    "recipes.record": ("check_save", "read_record", "sidecar_path"),
    "recipes.schema": ("recipe_schema",),
    "registry.branch": ("Branch", "Prompted", "plain_prompts", "prompts_of", "shown_by"),
    "registry.from_words": ("from_words",),
    "hosting.api": ("API_VERSION",),
    "hosting.host": ("host",),
    "hosting.host_hooks": ("hookimpl",),
    "registry.options": ("Share", "TrickOptions",
        "argument",
        "option",
    ),
    "registry.trick": (
        "Shown",
        "Trick",
    ),
    "registry.view": (
        "View",
        "orthogonality_error",
        "view_named",
    ),
    "sampling.aside": ("answered_at",),
    "sampling.bring": ("bring",),
    "sampling.run": ("Run",),
    "sampling.slopes": ("followed", "slope"),
    "sampling.start": ("Start",),
    "sampling.step": ("Step",),
    "sampling.tricks": ("refuse_clashes",),
    "types": (
        "Box",
        "Fit",
        "Outline",
        "Prompt",
        "Size",
        "Spans",
    ),
}  # fmt: skip
__getattr__, __dir__, __all__ = opening(__name__, _HOMES)
