"""The way out to services and files: public HTTPS only, bounded, with secrets kept at home."""

from comfynb.deploy.net.answer import Answer, Downloaded
from comfynb.deploy.net.fetch import Fetcher
from comfynb.deploy.net.policy import NetPolicy, shown, without_secrets

__all__ = ["Answer", "Downloaded", "Fetcher", "NetPolicy", "shown", "without_secrets"]
