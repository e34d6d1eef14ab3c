"""URLs of node packs and models in the one form in which they are stored and compared."""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

__all__ = [
    "Repository",
    "civitai_ids",
    "file_key",
    "huggingface_file",
    "huggingface_url",
    "model_url",
    "repository",
]

_SECRETS = frozenset({"token", "access_token", "api_key", "apikey"})
_SCP = re.compile(r"(?:ssh://)?[A-Za-z0-9._-]+@([A-Za-z0-9.-]+)[:/](?!/)(.+)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/*")
_BARE = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}/\S+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
# What nearly all URLs look like; what is in order needs no taking apart.
_WORD = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]{1,100}"
_USUAL_REPOSITORY = re.compile(rf"https://github\.com/{_WORD}/{_WORD}/?")
_USUAL_FILE = re.compile(
    rf"https://huggingface\.co/{_WORD}/{_WORD}/resolve(?:/{_WORD}){{2,9}}", re.ASCII
)
_FORGES = frozenset({"github.com", "gitee.com", "codeberg.org", "bitbucket.org"})
_SCHEME_SLIPS = frozenset(
    {
        *("ttps", "htps", "htts", "http", "httpss", "hhttps", "htttps", "httpps"),
        *("ttp", "htp", "htt", "hhttp", "htttp", "httpp"),
    }
)
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Repository:
    """Where a node pack lives."""

    url: str
    """Without .git and trailing slash, in the owner's own spelling."""
    key: str
    """What two spellings of the same place have in common: lower case, without the scheme."""
    branch: str | None = None
    """The branch that the URL named, if it named one."""
    repaired: str | None = None
    """What was wrong with the URL, in words, where it could be understood all the same."""


def _split(text: str) -> tuple[str, list[str], str | None]:
    """Return host, path segments, and what had to be repaired."""
    text = text.strip()
    if not text or len(text) > _LONGEST or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("is no URL")
    text = text.removeprefix("git+")
    repaired = None
    if scp := _SCP.fullmatch(text):
        text = f"https://{scp[1]}/{scp[2]}"
    elif scheme := _SCHEME.match(text):
        word = scheme[1].lower()
        if word not in {"https", "git"}:
            if word not in _SCHEME_SLIPS:
                raise ValueError(f"has the scheme {word!r:.20}, not https")
            if word != "http":
                repaired = f"the scheme {word!r} was taken for https"
        text = f"https://{text[scheme.end() :]}"
    elif _BARE.fullmatch(text):
        text = f"https://{text}"
    else:
        raise ValueError("is no URL")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no URL") from None
    if not host or "." not in host:
        raise ValueError("names no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("has a user name or password in it")
    if port not in {None, 80, 443}:
        host = f"{host}:{port}"
    segments = [segment for segment in parts.path.split("/") if segment]
    if any(unquote(segment).strip() in {".", "..", ""} for segment in segments):
        raise ValueError("has . or .. in its path")
    return host.removeprefix("www."), segments, repaired


def _forge(host: str, segments: list[str]) -> Repository:
    if len(segments) < 2:
        raise ValueError(f"names no repository at {host}")
    owner, name = segments[0], segments[1].removesuffix(".git")
    if not (_SEGMENT.fullmatch(owner) and _SEGMENT.fullmatch(name) and name not in {".", ".."}):
        raise ValueError(f"has characters that no repository at {host} has")
    branch = None
    if len(segments) > 3 and segments[2] in {"tree", "blob", "raw"}:
        place = segments[3:]
        if place[:2] == ["refs", "heads"] and len(place) > 2:
            place = place[2:]
        # Further segments are a folder, or the rest of the branch's name: nobody can tell.
        branch = unquote(place[0]) if segments[2] == "tree" and len(place) == 1 else None
    url = f"https://{host}/{owner}/{name}"
    return Repository(url, f"{host}/{owner}/{name}".lower(), branch)


@lru_cache(maxsize=20_000)
def repository(text: str) -> Repository:
    """Return where a pack lives; raises ValueError with what is wrong, as the end of a sentence."""
    if (usual := _USUAL_REPOSITORY.fullmatch(text)) and not usual[0].rstrip("/").endswith(".git"):
        return Repository(usual[0].rstrip("/"), usual[0][8:].rstrip("/").lower())
    host, segments, repaired = _split(text)
    if host == "raw.githubusercontent.com":
        host = "github.com"
        segments = segments[:2]
    elif host == "gist.githubusercontent.com":
        host, segments = "gist.github.com", segments[:2]
    if host in _FORGES:
        found = _forge(host, segments)
    else:
        if host == "civitai.com" and len(segments) > 1 and segments[0] == "models":
            segments = segments[:2]
        elif "-" in segments:  # gitlab.com/group/subgroup/name/-/tree/main
            segments = segments[: segments.index("-")]
        if not segments:
            raise ValueError("names a host, not a repository")
        path = "/".join(segments).removesuffix(".git")
        found = Repository(f"https://{host}/{path}", f"{host}/{path}".lower())
    if repaired is None:
        return found
    return Repository(found.url, found.key, found.branch, repaired)


def file_key(text: str) -> str:
    """Return what two spellings of one file's URL have in common; paths keep their case."""
    host, segments, _ = _split(text)
    if host == "github.com" and len(segments) > 4 and segments[2] in {"raw", "blob"}:
        host, segments = "raw.githubusercontent.com", [*segments[:2], *segments[3:]]
    if host == "raw.githubusercontent.com":
        if segments[2:4] == ["refs", "heads"]:
            segments = [*segments[:2], *segments[4:]]
        segments = [*(one.lower() for one in segments[:2]), *segments[2:]]
    return f"{host}/{'/'.join(unquote(one) for one in segments)}"


def model_url(text: str) -> str:
    """Return the URL of a model's file as it is stored.

    Hugging Face's page of a file becomes the file; secrets, fragments and what only changes how a
    browser shows it go. Raises ValueError with what is wrong, as the end of a sentence.
    """
    text = text.strip()
    if _USUAL_FILE.fullmatch(text):
        return text
    if not text or len(text) > _LONGEST or not text.isprintable() or "\\" in text:
        raise ValueError("is no URL")
    try:
        parts = urlsplit(text.replace(" ", "%20"))
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no URL") from None
    scheme = parts.scheme.lower()
    if scheme not in {"http", "https"} or not host:
        raise ValueError("is no URL with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("has a user name or password in it")
    path = parts.path
    if any(unquote(segment) in {".", ".."} for segment in path.split("/")):
        raise ValueError("has . or .. in its path")
    query = [
        (key, value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
        if key.lower() not in _SECRETS
    ]
    if host in {"hf.co", "www.huggingface.co"}:
        host = "huggingface.co"
    if host == "huggingface.co":
        scheme, query = "https", []
        segments = path.strip("/").split("/")
        if len(segments) > 4 and segments[2] in {"blob", "raw"}:
            segments[2] = "resolve"
        path = "/" + "/".join(segments)
    elif host == "www.civitai.com":
        host = "civitai.com"
    if port is not None and port != {"http": 80, "https": 443}[scheme]:
        host = f"{host}:{port}"
    elif ":" in host:
        host = f"[{host}]"
    tail = f"?{urlencode(sorted(query))}" if query else ""
    return f"{scheme}://{host}{path or '/'}{tail}"


def huggingface_file(url: str) -> tuple[str, str, str] | None:
    """Return repository, revision and path of a file at Hugging Face, or None for other URLs."""
    parts = urlsplit(url)
    if parts.hostname != "huggingface.co":
        return None
    segments = parts.path.strip("/").split("/")
    if len(segments) < 5 or segments[2] != "resolve":
        return None
    name = "/".join(unquote(one) for one in segments[4:])
    return "/".join(segments[:2]), unquote(segments[3]), name


def huggingface_url(endpoint: str, repo: str, revision: str, path: str) -> str:
    """Return the URL of a file at Hugging Face."""
    return f"{endpoint}/{quote(repo)}/resolve/{quote(revision, safe='')}/{quote(path)}"


_DOWNLOAD = re.compile(r"/api/download/models/(\d{1,18})/?")
_PAGE = re.compile(r"/models/(\d{1,18})(?:/.*)?")


def civitai_ids(*urls: str | None) -> tuple[str | None, str | None]:
    """Return the ids of the model and of its version that CivitAI's URLs among these name."""
    model = version = None
    for url in urls:
        parts = urlsplit(url or "")
        if parts.hostname not in {"civitai.com", "www.civitai.com", "civitai.red"}:
            continue
        if found := _DOWNLOAD.fullmatch(parts.path):
            version = version or found[1]
        elif found := _PAGE.fullmatch(parts.path):
            model = model or found[1]
            named = dict(parse_qsl(parts.query)).get("modelVersionId", "")
            version = version or (named if named.isdecimal() else None)
    return model, version
