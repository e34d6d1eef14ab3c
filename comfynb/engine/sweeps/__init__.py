"""Sweeps with nothing around them, pure: axes, points, conditions, keys, order, views."""

from comfynb.engine.sweeps.axes import Group, length, make_groups, make_samples, values_of
from comfynb.engine.sweeps.conditions import Where, condition
from comfynb.engine.sweeps.keys import PromptHasher, content_key, digest, server_signature
from comfynb.engine.sweeps.order import downstream, submission_order
from comfynb.engine.sweeps.pace import Pace
from comfynb.engine.sweeps.points import MOST_POINTS, Space
from comfynb.engine.sweeps.ranges import parse_range
from comfynb.engine.sweeps.samplers import (
    Choice,
    Integers,
    LogUniform,
    Sampler,
    Uniform,
    choice,
    integers,
    loguniform,
    uniform,
    unit,
)
from comfynb.engine.sweeps.table import PointTable, point_table
from comfynb.engine.sweeps.views import BackendShare, PictureView, PointView, SweepView

__all__ = [
    "MOST_POINTS",
    "BackendShare",
    "Choice",
    "Group",
    "Integers",
    "LogUniform",
    "Pace",
    "PictureView",
    "PointTable",
    "PointView",
    "PromptHasher",
    "Sampler",
    "Space",
    "SweepView",
    "Uniform",
    "Where",
    "choice",
    "condition",
    "content_key",
    "digest",
    "downstream",
    "integers",
    "length",
    "loguniform",
    "make_groups",
    "make_samples",
    "parse_range",
    "point_table",
    "server_signature",
    "submission_order",
    "uniform",
    "unit",
    "values_of",
]
