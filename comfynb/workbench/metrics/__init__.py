"""What the machines did: ``wb.metrics``, its plots, and where they take their numbers from."""

from comfynb.workbench.metrics.metrics import Metrics, agent_secret

__all__ = ["Metrics", "agent_secret"]
