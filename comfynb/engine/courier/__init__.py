"""Prompts on their way to one backend and back."""

from comfynb.engine.courier.courier import Courier
from comfynb.engine.courier.home import Home
from comfynb.engine.courier.lanes import Traffic
from comfynb.engine.courier.outcome import Outcome

__all__ = ["Courier", "Home", "Outcome", "Traffic"]
