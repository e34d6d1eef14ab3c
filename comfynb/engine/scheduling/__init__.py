"""How waiting prompts are ordered and shared out among backends; see docs/scheduling.md."""
