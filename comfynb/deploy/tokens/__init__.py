"""Tokens for services: encrypted in the store, found in the environment, shown nowhere."""

from comfynb.deploy.tokens.environment import EnvironmentToken, find_tokens
from comfynb.deploy.tokens.keyfile import KeyFile
from comfynb.deploy.tokens.keys import VARIABLE, KeyStore
from comfynb.deploy.tokens.secret import Secret
from comfynb.deploy.tokens.vault import HOSTS, Rotation, TokenInfo, TokenVault

__all__ = [
    "HOSTS",
    "VARIABLE",
    "EnvironmentToken",
    "KeyFile",
    "KeyStore",
    "Rotation",
    "Secret",
    "TokenInfo",
    "TokenVault",
    "find_tokens",
]
