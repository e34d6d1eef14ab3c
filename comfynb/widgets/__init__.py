"""What people see and click in a notebook: job rows, tables, forms and pictures."""

from comfynb.widgets.backend_picker import BackendPicker
from comfynb.widgets.backend_text import backends_table
from comfynb.widgets.backends_table import BackendsTable
from comfynb.widgets.composite import Composite, mimebundle, shared_view
from comfynb.widgets.form import FormView, ParameterForm
from comfynb.widgets.gallery import Gallery
from comfynb.widgets.job_row import JobRow
from comfynb.widgets.jobs_table import JobsTable
from comfynb.widgets.parameter_editor import ParameterEditor
from comfynb.widgets.tables import Cell, StaticTable, parameters_table, table

__all__ = [
    "BackendPicker",
    "BackendsTable",
    "Cell",
    "Composite",
    "FormView",
    "Gallery",
    "JobRow",
    "JobsTable",
    "ParameterEditor",
    "ParameterForm",
    "StaticTable",
    "backends_table",
    "mimebundle",
    "parameters_table",
    "shared_view",
    "table",
]
