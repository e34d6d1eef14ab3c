"""The sample workflows, as JSON files."""
