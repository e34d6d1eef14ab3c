"""A lock holds nothing that is not pinned, nothing twice, and no name that a shell or a path
would take for something else."""

import pytest
from pydantic import ValidationError

from comfynb.models import (
    Lock,
    LockedComfyUI,
    LockedFile,
    LockedModel,
    LockedNode,
    LockedPackage,
    LockedPython,
    LockedRequirement,
    Service,
    explain,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "ab" * 32
COMFYUI = {"version": "0.3.64", "commit": COMMIT}
REQUIREMENT = {"name": "numpy", "version": "2.3.1"}
FILE = {"url": "https://example.org/node.py", "path": "node.py"}
NODE = {"name": "Pack", "folder": "pack", "repository": "https://example.org/a/b", "commit": COMMIT}
COPIED = {"name": "Pack", "folder": "pack", "kind": "copy", "files": [FILE]}
MODEL = {
    "name": "m",
    "filename": "m.safetensors",
    "folder": "models/loras",
    "url": "https://example.org/m.safetensors",
}
LOCK = {"name": "portrait", "comfyui": COMFYUI}

HOSTILE_PATHS = ["/etc", "../x", "a/../b", "a//b", "~/x", "-x", "C:/x", "a\\b", "a\nb", "", "."]
HOSTILE_NAMES = ["a/b", "..", ".", "", " ", "-rf", "a\\b", "a:b", "a\nb", "\x1b[2J"]
CASES = [
    *[(LockedModel, MODEL, "folder", bad, "a folder below ComfyUI's") for bad in HOSTILE_PATHS],
    *[(LockedModel, MODEL, "filename", bad, "a file name without a") for bad in HOSTILE_NAMES],
    *[(LockedFile, FILE, "path", bad, "a folder below ComfyUI's") for bad in HOSTILE_PATHS],
    *[(LockedNode, NODE, "folder", bad, "a file name without a folder") for bad in HOSTILE_NAMES],
    *[(Lock, LOCK, "environment_name", bad, "a file name without") for bad in HOSTILE_NAMES],
    *[
        (LockedNode, NODE, "commit", bad, "a whole commit id, 40 hexadecimal digits")
        for bad in ("main", COMMIT[:12], COMMIT.upper(), COMMIT + "0", COMMIT + "\n", "HEAD", "")
    ],
    *[
        (LockedPython, {}, "version", bad, "a version of Python, such as 3.12")
        for bad in ("3", "2.7", "3.12; id", "3.x", "3.١٢", "3.12\n")
    ],
    *[
        (LockedPackage, {"name": "git"}, "name", bad, "a Debian package's name")
        for bad in ("-o=x", "Git", "git;id", "git libgl1", "", "g")
    ],
    *[
        (LockedRequirement, REQUIREMENT, "name", bad, "a Python package's name")
        for bad in ("-r", "numpy==1", "a b", "", "a;b", "--index-url", "numpy\n")
    ],
    *[
        (LockedRequirement, REQUIREMENT, "hashes", [bad], "a hash, such as sha256:")
        for bad in (SHA, f"md5:{SHA}", f"sha256:{SHA}0", f"sha384:{SHA}", f"sha256:{SHA.upper()}")
    ],
    *[
        (model, good, field, bad, says)
        for model, good, field in (
            (LockedModel, MODEL, "url"),
            (LockedNode, NODE, "repository"),
            (LockedFile, FILE, "url"),
            (LockedPython, {}, "index"),
            (LockedRequirement, {"name": "numpy", "url": "https://example.org/n.whl"}, "url"),
        )
        for bad, says in (
            ("file:///etc/passwd", "http:// or https://"),
            ("ext::sh -c id", "without spaces"),
            ("https://me:secret@example.org/x", "without user name and password"),
            ("https://example.org/x?token=secret", "tokens are kept as ApiToken"),
        )
    ],
    (LockedComfyUI, COMFYUI, "version", "latest release", "one exact version"),
    (LockedComfyUI, COMFYUI, "version", ">=0.3", "one exact version"),
    (LockedPython, {}, "cuda", "12", "a version of CUDA, such as 12.8"),
    (LockedRequirement, REQUIREMENT, "version", ">=1", "one exact version, such as 1.2.3"),
    (LockedRequirement, REQUIREMENT, "version", None, "either a version or a url"),
    (LockedRequirement, REQUIREMENT, "url", "https://example.org/n.whl", "either a version or"),
    (LockedRequirement, REQUIREMENT, "extras", ["a]"], "an extra's name"),
    (LockedNode, NODE, "commit", None, "a repository and a commit"),
    (LockedNode, NODE, "repository", None, "a repository and a commit"),
    (LockedNode, NODE, "kind", "unzip", "a pack of kind unzip needs files"),
    (LockedNode, NODE, "kind", "pip", "'git', 'copy' or 'unzip'"),
    (LockedNode, COPIED, "files", [], "a pack of kind copy needs files"),
    (LockedNode, NODE, "folder", ".GIT", "must not be folder"),
    (LockedNode, NODE, "folder", "__pycache__", "must not be folder"),
    (LockedModel, MODEL, "sha256", SHA.upper(), "64 lower-case hexadecimal digits"),
    (LockedModel, MODEL, "size", -1, "greater than or equal to 0, not -1"),
    (LockedModel, MODEL, "auth", "GITHUB", "'CIVITAI' or 'HUGGINGFACE'"),
    (LockedPackage, {"name": "git"}, "version", "1 && id", "one exact version"),
    (Lock, LOCK, "environment", {"A B": "1"}, "no name of an environment variable"),
    (Lock, LOCK, "environment", {"A": "\0"}, "NUL"),
    (Lock, LOCK, "format", 2, "Input should be 1"),
    (Lock, LOCK, "tokens", [], "there is no such field"),
]


@pytest.mark.parametrize(("model", "good", "field", "bad", "says"), CASES)
def test_what_is_not_pinned_or_hostile_is_refused_in_words(model, good, field, bad, says):
    model(**good)
    with pytest.raises(ValidationError) as caught:
        model(**{**good, field: bad})
    sentence = explain(caught.value)
    assert sentence.startswith(model.__name__)
    assert says in sentence
    assert "\n" not in sentence
    assert "secret" not in sentence


@pytest.mark.parametrize(
    ("field", "first", "second", "says"),
    [
        ("nodes", NODE, {**NODE, "folder": "PACK"}, "two node packs want the folder 'pack'"),
        ("nodes", NODE, {**COPIED, "name": "Other"}, "two node packs want the folder 'pack'"),
        (
            "models",
            MODEL,
            {**MODEL, "folder": "models/Loras", "filename": "M.safetensors"},
            "two models want the file 'models/loras/m.safetensors'",
        ),
    ],
)
def test_two_things_never_want_one_place(field, first, second, says):
    Lock(**LOCK, **{field: [first]})
    with pytest.raises(ValidationError, match=says):
        Lock(**LOCK, **{field: [first, second]})


def test_it_knows_its_hosts_its_secrets_and_its_size():
    lock = Lock.model_validate(
        {
            **LOCK,
            "nodes": [NODE, {**COPIED, "folder": "other"}],
            "models": [
                {**MODEL, "size": 5, "auth": "HUGGINGFACE"},
                {**MODEL, "filename": "n.safetensors", "size": 7, "auth": "HUGGINGFACE"},
                {**MODEL, "filename": "o.safetensors", "url": "https://CIVITAI.com/o"},
            ],
        }
    )
    assert lock.hosts() == ("civitai.com", "example.org", "github.com")
    assert lock.secrets == (Service.HUGGINGFACE,)
    assert lock.download_size == 12
    assert lock.models[0].path == "models/loras/m.safetensors"
    assert Lock.model_validate_json(lock.model_dump_json()) == lock
