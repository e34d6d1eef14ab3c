"""500 deployments of hostile text: whatever is in them, the scripts are sound and execute none.

A whole script takes shellcheck 2.5 seconds, most of them for the library, which is the same in all.
So all of them are read by bash and run, and held to a grammar (calls of our functions with literal
words, the rest letter for letter the same); the linters see each different command once, those of
one flavour within a whole script, and whole Dockerfiles of the largest deployments.

``COMFYNB_LINT=all`` gives them every file as a whole, which takes most of an hour of CPU time; with
``pytest -s`` what was checked is printed.
"""

import json
import os
import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import dockerfile
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from comfynb.deploy.scripts import TARGETS, render
from comfynb.models.lock import Lock

MARKER = "marker-of-an-injection"
SECRET = "hf_" + "S3cr3tOfThisTest" * 3
EACH = 125
WHOLE = os.environ.get("COMFYNB_LINT") == "all"

# What has broken scripts somewhere, each leaving a file if anybody executes it.
EVIL = [
    f"$(touch {MARKER})",
    f"`touch {MARKER}`",
    f"'; touch {MARKER}; '",
    f'"; touch {MARKER}; "',
    f"\\'; touch {MARKER} #",
    f"$'; touch {MARKER} #",
    f"| touch {MARKER}",
    f"&& touch {MARKER} &",
    f"${{IFS}}touch${{IFS}}{MARKER}",
    f"x[$(touch {MARKER})]",
    f"@{{ {MARKER}|sh }}@ @% include 'x' %@",
    "{{ 7*7 }} {% raw %} {# x #}",
    "COMFYNB_STEP",
    "COMFYNB_LIBRARY",
    "EOF",
    "!!:p !$ !-1",
    "# syntax=docker/dockerfile:0",
    "escape=`",
    "$HOME ${HOME} $$ %s %d %n \\x41 \\u202e",
    "*?[a-z]{a,b}~",
    "~/x",
    "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
    "\N{ZERO WIDTH SPACE}",
    "\N{LEFT SINGLE QUOTATION MARK}x\N{RIGHT DOUBLE QUOTATION MARK}",
    "\N{NO-BREAK SPACE}",
    "\N{LINE SEPARATOR}touch",
    "日本語のモデル",
    "\N{PILE OF POO}",
    "é\u0301",
    "yes",
    "1e3",
    "0x10",
    "null",
    "- x: y",
    "&anchor *alias !tag",
    "' \" \\",
]
LINES = [
    *EVIL,
    f"a\ntouch {MARKER}\nb",
    f"\nCOMFYNB_STEP\ntouch {MARKER}\n",
    "a\r\nb",
    "\t",
    "\x1b[2J",
    "\x7f",
]


def visible(text):
    """Text that models take as a name."""
    return "".join(c for c in text if c.isprintable() and c not in "/\\:")


def one_line(text):
    return "".join(c for c in text if unicodedata.category(c) != "Cc").strip() or "x"


FORBIDDEN = re.compile(
    r"(?i)(LD_|PYTHON|GIT_|BASH|DYLD|COMFYNB)|.*(TOKEN|SECRET|PASS|KEY|CREDENTIAL)"
    r"|^(PATH|ENV|IFS|PS4)$"
)

evil = st.sampled_from(EVIL)
text = st.one_of(evil, st.text(max_size=20), st.tuples(evil, evil).map("".join))
file_names = text.map(visible).map(lambda name: name[:40].strip(" .~-") or "x")
names = text.map(one_line)
values = st.one_of(
    st.sampled_from(LINES),
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60),
)
commits = st.text("0123456789abcdef", min_size=40, max_size=40)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
urls = st.builds(
    "https://{}/{}?{}".format,
    st.sampled_from(["huggingface.co", "civitai.com", "example.org", "bücher.example"]),
    text.map(lambda value: "".join(c for c in value if c.isprintable() and c not in " \\")),
    st.sampled_from(["", "a=$(x)", "fileId=${HF_TOKEN}", "q='\"`;&|"]),
)
env_names = st.one_of(
    st.sampled_from(["A", "HOME", "UID", "SECONDS", "NO", "null", "IFS_", "HISTFILE", "_", "LANG"]),
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True),
).filter(lambda name: not FORBIDDEN.match(name))
environments = st.dictionaries(env_names, values, max_size=4)
sizes = st.one_of(st.none(), st.integers(0, 10**13))


def keyed(records, key):
    return records.map(lambda items: list({key(item).lower(): item for item in items}.values()))


models = keyed(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": names,
                "filename": file_names.map(lambda name: f"{name}.safetensors"),
                "folder": st.one_of(st.just("models/loras"), file_names.map("models/{}".format)),
                "url": urls,
                "size": sizes,
                "sha256": st.one_of(st.none(), digests),
                "auth": st.sampled_from([None, "HUGGINGFACE", "CIVITAI"]),
            }
        ),
        max_size=2,
    ),
    lambda model: f"{model['folder']}/{model['filename']}",
)
packs = keyed(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": names,
                "folder": file_names,
                "repository": urls,
                "commit": commits,
                "install_script": st.booleans(),
                "version": names,
                "classes": st.lists(text, max_size=2),
                "license": text,
            }
        ),
        max_size=2,
    ),
    lambda pack: pack["folder"],
)
requirements = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["torch", "numpy", "nvidia-cublas-cu12", "Pillow", "a.b_c"]),
            "version": st.sampled_from(["1.0", "2.8.0+cu128", "1!2.0rc1"]),
            "hashes": st.lists(digests.map("sha256:{}".format), max_size=2),
            "via": st.lists(text, max_size=2),
        }
    ),
    max_size=3,
)
COMFYUI = {"version": "0.3.64", "commit": "c" * 40}


def locks(**fields):
    base = {
        "name": names,
        "comfyui": st.just(COMFYUI),
        "python": st.sampled_from([{"version": "3.12"}, {"version": "3.11.9", "cuda": "12.8"}]),
    }
    return st.fixed_dictionaries({**base, **fields}).map(Lock.model_validate)


workspaces = st.one_of(st.none(), file_names.map("/srv/{}".format))
FLAVOURS = {
    "models": locks(models=models, workspace=workspaces),
    "packs": locks(nodes=packs, environment_name=st.one_of(st.none(), file_names)),
    "environment": locks(environment=environments),
    "all": locks(
        nodes=packs,
        models=models,
        environment=environments,
        workspace=workspaces,
        packages=st.lists(
            st.sampled_from([{"name": "ffmpeg"}, {"name": "libgl1", "version": "1:2.0~rc1-1+b1"}]),
            max_size=2,
            unique_by=str,
        ),
        python=st.fixed_dictionaries(
            {
                "version": st.just("3.12"),
                "requirements": requirements,
                "index": st.one_of(st.none(), urls),
                "torch_index": st.one_of(st.none(), urls),
            }
        ),
    ),
}


def collect(flavour):
    """EACH locks of a flavour, as hypothesis makes them."""
    made = []

    @settings(
        max_examples=EACH,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(FLAVOURS[flavour])
    def one(lock):
        made.append(lock)

    one()
    return made


@pytest.mark.timeout(4 * 3600 if WHOLE else 900)  # of CPU time it takes some ten seconds
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_deployments(flavour, linter, tmp_path):
    """Every deployment of a flavour, in one test: making them takes as long as checking them."""
    root = tmp_path / "made"
    made = []
    for number, lock in enumerate(collect(flavour)):
        rendered = {target: render(lock, target) for target in TARGETS}
        folder = root / f"{number:03}"
        for target, result in rendered.items():
            (folder / target).mkdir(parents=True)
            for name, content in result.files.items():
                assert content.isascii()
                (folder / target / name).write_text(content)
        made.append((folder, lock, rendered))
    assert len(made) >= EACH
    done = Counter(deployments=len(made))
    check_grammar(made)
    check_shell(made, linter, tmp_path, done, flavour)
    check_dockerfiles(made, linter, tmp_path, done)
    check_compose(made, done)
    check_snapshots(made, done)
    check_runs(made, tmp_path, done)
    print(f"\n{flavour}: " + ", ".join(f"{count} {what}" for what, count in done.items()))
    shutil.rmtree(root)


def lint_whole(linter, program, files, folder):
    """Each file as it is, some at a time, on all processors; of files with one text, the first."""
    files = list({file.read_bytes(): file for file in reversed(files)}.values())
    parts = [files[start : start + 5] for start in range(0, len(files), 5)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda part: linter(program, *part, cwd=folder), parts))
    return len(files)


def scripts_of(made, *targets):
    return [
        folder / target / name
        for folder, _, rendered in made
        for target in targets
        for name in rendered[target].executable
    ]


BODY = re.compile(r"^deployment\(\) \{\n(.*?)^\}$", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"^(?:RUN|COPY)[^\n]*<<'(\w+)'.*?\n(.*?)^\1\n", re.MULTILINE | re.DOTALL)
LIBRARY = re.compile(r"(library\.sh\n)(.*?)^(COMFYNB_LIBRARY$)", re.MULTILINE | re.DOTALL)
WORD = r"(?:'[A-Za-z0-9 _@%+=:,./-]*'|\$'(?:(?![$'\\`~])[ -~]|\\[ntr\\']|\\x[0-9a-f]{2})*'|[0-9]+)"
CALLS = re.compile(rf"(?:  lock_[a-z_]+(?: (?:\\\n    )?{WORD})+\n+)+")


def commands(text):
    """The commands of each deployment() in a text: what differs from script to script."""
    for body in BODY.findall(text):
        yield from re.findall(r"(?:[^\n]*\\\n)*[^\n]+\n", body)


def without(text):
    """A text without what deployment() says, and without comments."""
    return re.sub(r"^ *#.*\n", "", BODY.sub("deployment", text), flags=re.MULTILINE)


def check_grammar(made):
    """Nothing in a script expands or executes: it has literal words, and the same text all around.

    This holds for each of them, and whatever a linter knows or does not know.
    """
    around = {"bash": set(), "runpod": set(), "RUN": set(), "start": set(), "library": set()}
    for _, _, rendered in made:
        for target, result in rendered.items():
            for name, text in result.files.items():
                if name in result.executable:
                    text, _, library = text.partition("# How ---")
                    around["library"].add(library.partition("\n\n")[2].removesuffix('main "$@"\n'))
                    around[target].add(without(text))
                elif name == "Dockerfile":
                    around["library"].add(LIBRARY.search(text)[2])
                    text = LIBRARY.sub(r"\1\3", text)
                    for word, body in HEREDOC.findall(text):
                        if word != "COMFYNB_LIBRARY":
                            around["RUN" if word == "COMFYNB_STEP" else "start"].add(without(body))
                bodies = BODY.findall(text)
                assert len(bodies) == text.count("deployment() {")
                assert all(CALLS.fullmatch(body) for body in bodies)
    assert {where: len(texts) for where, texts in around.items()} == dict.fromkeys(around, 1)


def largest(made, target):
    """The whole files of the deployment with most in it."""
    return max((rendered[target].files for _, _, rendered in made), key=lambda f: len(str(f)))


def check_shell(made, linter, tmp_path, done, flavour):
    """bash reads every script; shellcheck every command of every script."""
    scripts = scripts_of(made, "bash", "runpod")
    assert len(scripts) == 2 * len(made)
    loop = 'for script; do bash -n "$script" || exit; done'
    read = subprocess.run(["bash", "-c", loop, "bash", *scripts], check=False, capture_output=True)
    assert (read.returncode, read.stderr) == (0, b"")
    done["scripts through bash -n"] = len(scripts)
    if WHOLE:
        different = lint_whole(linter, "shellcheck", scripts, tmp_path)
        done[f"whole scripts ({different} different) through shellcheck"] = len(scripts)
        starts = []
        for folder, _, rendered in made:
            for target in ("docker", "compose"):
                found = dict(HEREDOC.findall(rendered[target].files["Dockerfile"]))
                starts.append(folder / target / "start.sh")
                starts[-1].write_text(found["COMFYNB_START"])
        different = lint_whole(linter, "shellcheck", starts, tmp_path)
        done[f"start scripts ({different} different) of images through shellcheck"] = len(starts)
        return
    distinct = {}
    for _, _, rendered in made:
        for result in rendered.values():
            for text in result.files.values():
                distinct.update(dict.fromkeys(commands(text)))
    assert len(distinct) > len(made)
    listed = list(distinct)
    if flavour == "all":
        # As if it were one deployment of all that these have.
        (text,) = made[0][2]["runpod"].files.values()
        body = "".join(listed)
        texts = [BODY.sub(lambda _: f"deployment() {{\n{body}}}", text)]
        done["commands through shellcheck in a whole script"] = len(listed)
    else:
        # Each 200 a file: shellcheck takes long for one of thousands of lines.
        parts = [listed[start : start + 200] for start in range(0, len(listed), 200)]
        texts = ["#!/bin/bash\n" + "".join(part) for part in parts]
        done["commands through shellcheck"] = len(listed)
    files = [tmp_path / f"{number}.sh" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    linter("shellcheck", *files, cwd=tmp_path)


def check_dockerfiles(made, linter, tmp_path, done):
    """The parser sees the instructions that were meant; hadolint every command, and whole files."""
    distinct, heads = {}, {}
    for folder, lock, _ in made:
        for target in ("docker", "compose"):
            text = (folder / target / "Dockerfile").read_text()
            # The library is the same in all, and the parser takes long for it.
            text = LIBRARY.sub(r"\1\3", text)
            parsed = dockerfile.parse_string(text)
            kinds = [command.cmd.upper() for command in parsed]
            assert kinds[:6] == ["FROM", "ENV", "SHELL", "RUN", "COPY", "COPY"]
            assert kinds[-4:] == ["COPY", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"]
            assert set(kinds[6:-4]) == {"RUN"}
            assert parsed[1].value[::2] == OUR_VARIABLES
            baked = len(lock.models) if target == "docker" else 0
            steps = 2 + bool(lock.packages) + bool(lock.nodes) + baked
            assert len(kinds) == 10 + steps
            # A heredoc that ended early would have left a line that the parser takes as more.
            assert text.count("<<'COMFYNB_STEP'") == steps
            runs = re.findall(
                r"^RUN[^\n]*COMFYNB_STEP'\n.*?^COMFYNB_STEP\n", text, re.MULTILINE | re.DOTALL
            )
            assert len(runs) == steps
            for run in runs:
                heads.setdefault(run.partition("\n")[0], run)
                distinct.update(dict.fromkeys(commands(run)))
    done["Dockerfiles parsed"] = 2 * len(made)
    if WHOLE:
        files = [folder / target / "Dockerfile" for folder, *_ in made for target in IMAGES]
        different = lint_whole(linter, "hadolint", files, tmp_path)
        done[f"whole Dockerfiles ({different} different) through hadolint"] = len(files)
        return
    # The first lines that there are, all commands spread over them.
    text = largest(made, "docker")["Dockerfile"]
    listed = list(distinct)
    each = -(-len(listed) // len(heads))
    made_of_all = text.partition("COPY")[0]
    for number, run in enumerate(heads.values()):
        body = "".join(listed[number * each : (number + 1) * each])
        made_of_all += BODY.sub(lambda _, body=body: f"deployment() {{\n{body}}}", run) + "\n"
    files = {
        "all.Dockerfile": made_of_all,
        "docker.Dockerfile": text,
        "compose.Dockerfile": largest(made, "compose")["Dockerfile"],
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    linter("hadolint", *files, cwd=tmp_path)
    done["commands through hadolint"] = len(listed)
    done["whole Dockerfiles through hadolint"] = 2


IMAGES = ("docker", "compose")
OUR_VARIABLES = (
    "COMFYNB_LIBRARY",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "PIP_NO_CACHE_DIR",
    "PYTHONUNBUFFERED",
    "UV_CACHE_DIR",
    "UV_PYTHON_DOWNLOADS",
)


def interpolated(value):
    """What compose makes of a text, with nothing set: $$ is $, and ${NAME:-default} the default."""
    return re.sub(
        r"\$(?:(\$)|\{\w+:-([^}]*)\})|(\$)",
        lambda hit: "$" if hit[1] else hit[2] if hit[2] is not None else pytest.fail(value),
        value,
    )


def check_compose(made, done):
    """Against the schema that check-jsonschema brings; the program itself takes long to start."""
    import jsonschema  # takes seconds, so not while tests are collected

    # Found without importing the program, which takes seconds.
    package = Path(find_spec("check_jsonschema").origin).parent
    schema = package / "builtin_schemas" / "vendor" / "compose-spec.json"
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
    files = [folder / "compose" / "compose.yaml" for folder, _, _ in made]
    for path, (_, lock, _) in zip(files, made, strict=True):
        document = yaml.load(path.read_text(), yaml.CSafeLoader)
        assert [error.message for error in validator.iter_errors(document)] == []
        (service,) = document["services"].values()
        environment = {key: interpolated(value) for key, value in service["environment"].items()}
        ours = {"COMFYNB_MODELS": "/models", "COMFYNB_STATE": "/models/.comfynb"}
        assert environment == {**ours, **lock.environment}
        assert interpolated(service["ports"][0]) == "127.0.0.1:8188:8188"
        targets = [interpolated(volume["target"]) for volume in service["volumes"]]
        assert f"{lock.workspace or '/opt/comfyui'}/ComfyUI/output" in targets
        tokens = {f"{service.value}" for service in lock.secrets}
        assert len(document.get("secrets", {})) == len(tokens)
        assert ("deploy" in service) is (lock.python.cuda is not None)
        done["compose files against the schema"] += 1


def check_snapshots(made, done):
    for folder, lock, _ in made:
        snapshot = json.loads((folder / "snapshot" / "snapshot.json").read_text())
        assert snapshot["comfyui"] == lock.comfyui.commit
        commits = [pack["hash"] for pack in snapshot["git_custom_nodes"].values()]
        assert set(commits) <= {node.commit for node in lock.nodes}
        assert len(commits) == len({node.repository for node in lock.nodes})
        assert set(snapshot["pips"]) == {f"{r.name}=={r.version}" for r in lock.python.requirements}
        done["snapshots"] += 1


def run(script, *arguments, home):
    """Run a script in an empty home with tokens; returns its output."""
    done = subprocess.run(
        ["bash", script, *arguments],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "HF_TOKEN": SECRET,
            "CIVITAI_TOKEN": SECRET,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert SECRET.encode() not in done.stdout + done.stderr
    assert list(home.iterdir()) == [], "it left something behind"
    return done.stdout


def check_runs(made, tmp_path, done):
    """A dry run changes nothing and names every file; the variables arrive byte by byte."""
    for folder, lock, _ in made:
        workspace = tmp_path / "workspace"
        (script,) = (folder / "bash").iterdir()
        said = run(script, "--dry-run", "--workspace", workspace, home=empty(tmp_path)).decode()
        assert not workspace.exists()
        assert said.count("would fetch: ") == len(lock.models)
        assert said.count("would check out: ") == 1 + len(lock.nodes)
        assert said.endswith("nothing was changed\n")
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e\u2028]", said)
        (script,) = (folder / "runpod").iterdir()
        printed = run(script, "--exec", "env", "-0", home=empty(tmp_path)).decode()
        environment = dict(pair.split("=", 1) for pair in printed.split("\0") if pair)
        assert {name: environment[name] for name in lock.environment} == lock.environment
        assert not {"HF_TOKEN", "CIVITAI_TOKEN"} & environment.keys()
        done["scripts run"] += 2


def empty(tmp_path):
    home = tmp_path / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    return home
