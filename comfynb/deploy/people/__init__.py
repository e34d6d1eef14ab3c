"""Who works here: one implicit person for each kernel, with a role; guard-rails, not security.

Nobody logs in. The kernel does not know who sits at the browser, and whoever runs code in it can
edit the store's file: a person is what work is attributed to, and a role keeps colleagues out of
one another's way. Where that is not enough, use PostgreSQL with an account for each person.
"""

from comfynb.deploy.people.hub import CURATORS, HubAnswer
from comfynb.deploy.people.identity import Identity, email_of, find_identity
from comfynb.deploy.people.person import Person, current_user

__all__ = [
    "CURATORS",
    "HubAnswer",
    "Identity",
    "Person",
    "current_user",
    "email_of",
    "find_identity",
]
