"""What the machines do: collected, summed up, watched for trouble."""

from comfynb.engine.metrics.collector import CollectorStatus, MetricsCollector
from comfynb.engine.metrics.settings import MetricsSettings
from comfynb.store.metrics import FIELDS, Reading

__all__ = ["FIELDS", "CollectorStatus", "MetricsCollector", "MetricsSettings", "Reading"]
