"""Turns a workflow as the front-end saves it into the prompt that the front-end would send."""

from comfynb.comfy.convert.api import (
    convert,
    is_api_prompt,
    is_ui_workflow,
    promoted_inputs,
    to_api_prompt,
)
from comfynb.comfy.convert.report import Conversion, ConversionReport, Remark
from comfynb.comfy.convert.text import dynamic_choices, resolve_dynamic_prompt

__all__ = [
    "Conversion",
    "ConversionReport",
    "Remark",
    "convert",
    "dynamic_choices",
    "is_api_prompt",
    "is_ui_workflow",
    "promoted_inputs",
    "resolve_dynamic_prompt",
    "to_api_prompt",
]
