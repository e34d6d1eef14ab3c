"""Every exception that comfynb raises on purpose.

The tree::

    ComfynbError
    ├── UsageError               the call itself is wrong (unknown name, wrong state)
    │   └── NotFound             a name or id that the Workbench does not know
    ├── InvalidValue             a parameter value that its constraints refuse
    │   └── ExpressionError      a condition's expression that cannot be read or evaluated
    ├── WorkflowError            a workflow that cannot be used
    │   ├── GraphInvalid         a graph that cannot run (``.problems``)
    │   ├── NotAWorkflow         the file or value holds no ComfyUI workflow
    │   └── UnknownNodeClass     the backend has no such node class
    ├── BackendError             something about one backend (``.backend``)
    │   ├── BackendUnreachable   nobody answers at the address, or the answer broke off
    │   ├── NotComfyUI           somebody answers, but not a ComfyUI server
    │   ├── AuthenticationRequired  the server wants other credentials
    │   ├── PromptRefused        the server refused the prompt (``.problems``)
    │   ├── PromptLost           the server no longer knows a prompt that it had taken
    │   ├── NoEligibleBackend    no backend may run this node
    │   └── ServerError          the server answered with an error of its own (``.status``)
    ├── NotAllowed               this person's role does not allow it
    ├── SecretError              a token that cannot be read: its key is missing or another
    ├── FetchError               a catalogue, registry or file server (``.url``, ``.status``)
    │   └── AddressRefused       the address is private, or leads there
    ├── DeploymentError          a deployment that cannot be locked or written as a script
    │   └── Conflict             what cannot live together on one machine (``.problems``)
    ├── JobError                 a job that did not complete (``.job_id``)
    │   ├── JobFailed
    │   └── JobCancelled
    └── StoreError               the store (``.path``)
        ├── StoreLocked          another program holds the file and does not hand it over
        ├── StoreTooNew          the file was written by a newer comfynb
        ├── StoreDamaged         the file cannot be read
        └── NetworkFileSystem    the file lies where locks cannot be trusted

Each message is one sentence that names the culprit and the cure.
"""

from collections.abc import Sequence

__all__ = [
    "AddressRefused",
    "AuthenticationRequired",
    "BackendError",
    "BackendUnreachable",
    "ComfynbError",
    "Conflict",
    "DeploymentError",
    "ExpressionError",
    "FetchError",
    "GraphInvalid",
    "InvalidValue",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "NetworkFileSystem",
    "NoEligibleBackend",
    "NotAWorkflow",
    "NotAllowed",
    "NotComfyUI",
    "NotFound",
    "PromptLost",
    "PromptRefused",
    "SecretError",
    "ServerError",
    "StoreDamaged",
    "StoreError",
    "StoreLocked",
    "StoreTooNew",
    "UnknownNodeClass",
    "UsageError",
    "WorkflowError",
]


class ComfynbError(Exception):
    """The root: ``except ComfynbError`` catches whatever comfynb itself reports."""

    def _render_traceback_(self) -> list[str]:
        """Show one sentence in a notebook cell; IPython asks for this instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(ComfynbError):
    """The call itself is wrong."""


class NotFound(UsageError, LookupError):
    """A name or id that the Workbench does not know."""


class InvalidValue(ComfynbError, ValueError):
    """A parameter value that its constraints refuse."""


class ExpressionError(InvalidValue):
    """A condition's expression that cannot be read or evaluated; the message says where."""


class WorkflowError(ComfynbError):
    """A workflow that cannot be used."""


class NotAWorkflow(WorkflowError, ValueError):
    """The file or value holds no ComfyUI workflow."""


class GraphInvalid(WorkflowError):
    """A graph that cannot run; ``problems`` has a sentence for each reason."""

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = list(problems)

    @classmethod
    def of(cls, name: str, problems: Sequence[str]) -> "GraphInvalid":
        """The error for a graph of that name."""
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        return cls(f"{name} cannot run: {problems[0]}{more}", problems=problems)


class UnknownNodeClass(WorkflowError):
    """The backend has no such node class; ``classes`` lists the missing ones."""

    def __init__(self, message: str, *, classes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.classes = list(classes)


class BackendError(ComfynbError):
    """Something about one backend; ``backend`` is its name or address, without secrets."""

    def __init__(self, message: str, *, backend: str = "") -> None:
        super().__init__(message)
        self.backend = backend


class BackendUnreachable(BackendError):
    """Nobody answers at the address, or the answer broke off.

    ``sent`` is True when the request may have reached the server, so that its fate is unknown (look
    the prompt up before sending it again), and False when certainly nothing was sent. ``refused``
    is True when the machine itself said that nobody listens on that port.
    """

    def __init__(
        self, message: str, *, backend: str = "", sent: bool = False, refused: bool = False
    ) -> None:
        super().__init__(message, backend=backend)
        self.sent = sent
        self.refused = refused


class NotComfyUI(BackendError):
    """Somebody answers, but not a ComfyUI server."""


class AuthenticationRequired(BackendError):
    """The server answered 401 or 403: it wants other credentials."""


class PromptRefused(BackendError):
    """The server refused the prompt.

    ``problems`` holds one sentence for each refused input: node title, input, value, and what is
    allowed. ``node_errors`` is the server's own answer.
    """

    def __init__(
        self,
        message: str,
        *,
        backend: str = "",
        problems: Sequence[str] = (),
        node_errors: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message, backend=backend)
        self.problems = list(problems)
        self.node_errors = dict(node_errors or {})


class PromptLost(BackendError):
    """The server no longer knows a prompt that it had taken (it was restarted, say)."""


class NoEligibleBackend(BackendError):
    """No backend may run this node; the message says why for each."""


class ServerError(BackendError):
    """The server answered with an error of its own; ``status`` is the HTTP status."""

    def __init__(self, message: str, *, backend: str = "", status: int = 0) -> None:
        super().__init__(message, backend=backend)
        self.status = status


class NotAllowed(ComfynbError):
    """This person's role does not allow it; the message says whose would."""


class SecretError(ComfynbError):
    """A token that cannot be read: the key is missing, or it is another one."""


class FetchError(ComfynbError):
    """A catalogue, registry or file server; ``url`` is without secrets, ``status`` the HTTP status.

    ``status`` is 0 where there was no answer. ``retry_after``: seconds that the server asked for.
    """

    def __init__(
        self, message: str, *, url: str = "", status: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.url = url
        self.status = status
        self.retry_after = retry_after


class AddressRefused(FetchError):
    """The address is private, or it leads to one: nothing was sent there."""


class DeploymentError(ComfynbError):
    """A deployment that cannot be locked or written as a script."""


class Conflict(DeploymentError):
    """What cannot live together on one machine; ``problems`` has a sentence for each."""

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class JobError(ComfynbError):
    """A job that did not complete; ``job_id`` names it."""

    def __init__(self, message: str, *, job_id: str = "") -> None:
        super().__init__(message)
        self.job_id = job_id


class JobFailed(JobError):
    """The job ended with an error."""


class JobCancelled(JobError):
    """The job was cancelled."""


class StoreError(ComfynbError):
    """The store; ``path`` is its file or address, without secrets."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class StoreLocked(StoreError):
    """Another program holds the file and does not hand it over."""


class StoreTooNew(StoreError):
    """The file was written by a newer comfynb."""


class StoreDamaged(StoreError):
    """The file cannot be read."""


class NetworkFileSystem(StoreError):
    """The file lies on a network file system, where locks cannot be trusted."""
