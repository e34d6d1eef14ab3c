# The virtual environment and the Python packages.

readonly UV_VERSION=0.13.9 # what is installed where there is neither uv nor the right Python
PYTHON_VERSION='' PYTHON_INDEX='' TORCH_INDEX='' CUDA='' PYTHON_BYTES=0 WANTS_PIP=no
SETS=() SET_CONTENTS=() SET_TORCH=() SET_HASHED=() SET_LINES=() CONSTRAINTS=() REQUIREMENTS=()

lock_python() { # VERSION CUDA INDEX TORCH-INDEX BYTES WANTS-PIP
  PYTHON_VERSION=$1 CUDA=$2 PYTHON_INDEX=$3 TORCH_INDEX=$4 PYTHON_BYTES=$5 WANTS_PIP=$6
}

lock_requirements() { # NAME TORCH HASHED CONTENT LINES...
  SETS+=("$1")
  SET_TORCH+=("$2")
  SET_HASHED+=("$3")
  SET_CONTENTS+=("$4")
  shift 4
  SET_LINES+=("${#REQUIREMENTS[@]} $#")
  REQUIREMENTS+=("$@")
}

lock_constraints() {
  CONSTRAINTS+=("$@")
}

python_is_right() { # PYTHON: whether it runs, and in the locked version
  "$1" -I -c '
import sys
want = sys.argv[1].split(".")
sys.exit([str(part) for part in sys.version_info[: len(want)]] != want)
' "$PYTHON_VERSION" 2>/dev/null
}

# Sets UV to a uv, or PYTHON to a Python of the locked version.
find_installer() {
  local candidate
  UV='' PYTHON=''
  if [[ $INSTALLER != pip ]]; then
    if command -v uv >/dev/null; then
      UV=$(command -v uv)
      return 0
    elif [[ -x $STATE/uv/bin/uv ]]; then
      UV=$STATE/uv/bin/uv
      return 0
    fi
  fi
  if [[ $INSTALLER != uv ]]; then
    for candidate in "python$PYTHON_VERSION" "python${PYTHON_VERSION%.*}" python3 python; do
      if command -v -- "$candidate" >/dev/null && python_is_right "$candidate" &&
        "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        PYTHON=$(command -v -- "$candidate")
        return 0
      fi
    done
  fi
  return 1
}

install_uv() {
  [[ $INSTALLER != pip ]] && command -v python3 >/dev/null || return
  say "installing uv $UV_VERSION"
  rm -rf -- "$STATE/uv"
  python3 -m venv -- "$STATE/uv" &&
    "$STATE/uv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "uv==$UV_VERSION"
}

make_venv() {
  local mark=$STATE/steps/venv.busy
  if [[ -e $VENV && ! -e $mark && ! -f $VENV/pyvenv.cfg ]]; then
    fail "$EXIT_PYTHON" 'virtual environment' "$VENV is in the way: it is none" || return
  fi
  say "making the virtual environment $VENV"
  : >"$mark"
  rm -rf -- "$VENV"
  if [[ -n $UV ]]; then
    "$UV" venv --quiet --no-project --python "$PYTHON_VERSION" "${SEED[@]}" -- "$VENV"
  else
    "$PYTHON" -m venv -- "$VENV"
  fi >>"$STATE/logs/python.log" 2>&1 && python_is_right "$VENV/bin/python" ||
    fail "$EXIT_PYTHON" 'virtual environment' "Python $PYTHON_VERSION: $(last_words "$STATE/logs/python.log")" || return
  rm -f -- "$mark"
}

install_set() { # INDEX
  local name=${SETS[$1]} file=$STATE/requirements-${SETS[$1]}.txt
  local -a range options=()
  read -r -a range <<<"${SET_LINES[$1]}"
  say "installing Python packages: $name (${range[1]})"
  printf '%s\n' "${REQUIREMENTS[@]:range[0]:range[1]}" >"$file"
  if [[ ${SET_HASHED[$1]} == yes ]]; then options+=(--require-hashes); fi
  if [[ -n $UV ]]; then
    if [[ -n $PYTHON_INDEX ]]; then options+=(--default-index "$PYTHON_INDEX"); fi
    if [[ ${SET_TORCH[$1]} == yes && -n $TORCH_INDEX ]]; then
      # Every version is exact: whichever of the two indexes has it.
      options+=(--index "$TORCH_INDEX" --index-strategy unsafe-best-match)
    fi
    "$UV" pip install --quiet --no-progress --no-deps --python "$VENV/bin/python" "${options[@]}" \
      --requirements "$file"
  else
    if [[ -n $PYTHON_INDEX ]]; then options+=(--index-url "$PYTHON_INDEX"); fi
    if [[ ${SET_TORCH[$1]} == yes && -n $TORCH_INDEX ]]; then options+=(--extra-index-url "$TORCH_INDEX"); fi
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
      "${options[@]}" --requirement "$file"
  fi >>"$STATE/logs/python.log" 2>&1 ||
    fail "$EXIT_PYTHON" "Python packages ($name)" "$(last_words "$STATE/logs/python.log")"
}

# What the environment says it has, against the lock.
check_versions() {
  printf '%s\n' "${CONSTRAINTS[@]}" | "$VENV/bin/python" -I -c '
import sys
from importlib.metadata import PackageNotFoundError, version
wrong = []
for line in sys.stdin.read().split():
    name, _, want = line.partition("==")
    try:
        have = version(name)
    except PackageNotFoundError:
        have = "nothing"
    if have != want:
        wrong.append(f"{name} {want} is locked, there is {have}")
print("; ".join(wrong[:3]))
sys.exit(bool(wrong))
' >>"$STATE/logs/python.log" 2>&1
}

python_folders() {
  # A network volume has no hard links, and is where another pod finds all of it again.
  export UV_LINK_MODE=${UV_LINK_MODE:-copy} UV_CACHE_DIR=${UV_CACHE_DIR:-$STATE/uv-cache}
  export UV_PYTHON_INSTALL_DIR=${UV_PYTHON_INSTALL_DIR:-$STATE/python}
  export PIP_CACHE_DIR=${PIP_CACHE_DIR:-$STATE/pip-cache} UV_NO_CONFIG=${UV_NO_CONFIG:-1}
  if [[ $TARGET == runpod ]]; then
    # The image's own Python may be gone, or another one, in the next pod.
    export UV_PYTHON_PREFERENCE=${UV_PYTHON_PREFERENCE:-only-managed}
  fi
}

step_python() {
  local index done_so=there
  [[ -n $PYTHON_VERSION ]] || return 0
  python_folders
  if [[ -e $STATE/steps/venv.busy ]] || ! python_is_right "$VENV/bin/python"; then
    done_so=installed
    : >"$STATE/logs/python.log"
    find_installer || { install_uv >>"$STATE/logs/python.log" 2>&1 && find_installer; } ||
      fail "$EXIT_PYTHON" 'Python' "neither uv nor Python $PYTHON_VERSION is here: install one of them" || return
    make_venv || return
  fi
  for ((index = 0; index < ${#SETS[@]}; index++)); do
    if stamped "$VENV/.comfynb-${SETS[index]}" "${SET_CONTENTS[index]}"; then continue; fi
    if [[ $done_so == there ]]; then
      done_so=installed
      : >"$STATE/logs/python.log"
      find_installer || [[ -x $VENV/bin/pip ]] ||
        fail "$EXIT_PYTHON" 'Python' 'uv made this environment, and is not here' || return
    fi
    install_set "$index" || return
    stamp "$VENV/.comfynb-${SETS[index]}" "${SET_CONTENTS[index]}"
  done
  if [[ $done_so == installed ]] && ((${#CONSTRAINTS[@]} > 0)); then
    check_versions ||
      fail "$EXIT_PYTHON" 'Python packages' "$(last_words "$STATE/logs/python.log")" || return
  fi
  printf '%s\n' "$done_so" >"$RUN/python"
}

check_driver() {
  local driver
  [[ -n $CUDA ]] || return 0
  if ! command -v nvidia-smi >/dev/null; then
    warn "the lock wants CUDA $CUDA, and there is no NVIDIA driver here"
    return 0
  fi
  driver=$(nvidia-smi 2>/dev/null | sed -n 's/.*CUDA Version: *\([0-9.]*\).*/\1/p' | head -n 1) || driver=''
  if [[ -n $driver && $(printf '%s\n' "$driver" "$CUDA" | sort -V | head -n 1) != "$CUDA" ]]; then
    warn "the lock wants CUDA $CUDA, the driver here knows $driver"
  fi
}
