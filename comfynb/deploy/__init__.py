"""Deployments: from a workflow to a lock, and from the lock to scripts that work."""
