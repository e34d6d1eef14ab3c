# Options, folders and tokens.

DRY_RUN=no REPLACE=no VERIFY=no ALLOW_HTTP=no INSTALL_SCRIPTS=yes
START='' WORKSPACE=${COMFYNB_WORKSPACE:-} MODELS=${COMFYNB_MODELS:-} PARTS=${COMFYNB_PARTS:-}
JOBS=${COMFYNB_JOBS:-4} PORT=${COMFYNB_PORT:-8188} HEADROOM=${COMFYNB_HEADROOM:-}
INSTALLER=${COMFYNB_INSTALLER:-auto} SECRETS=${COMFYNB_SECRETS:-/run/secrets}
LISTEN=${COMFYNB_LISTEN:-}
EXEC=()

usage() {
  cat <<'HELP'
Installs one ComfyUI deployment, exactly as it was locked. What is there already is left alone, so
running it again costs nothing; what was interrupted goes on where it stopped.

  --dry-run             say what would be done and how many bytes that is; change nothing
  --workspace DIR       where everything goes                      (COMFYNB_WORKSPACE)
  --models DIR          models go here instead of ComfyUI's models (COMFYNB_MODELS)
  --jobs N              downloads at a time, 4 if not given        (COMFYNB_JOBS)
  --headroom BYTES      disk space that must stay free             (COMFYNB_HEADROOM)
  --installer NAME      auto, uv or pip                            (COMFYNB_INSTALLER)
  --port N              ComfyUI's port, 8188 if not given          (COMFYNB_PORT)
  --listen ADDRESS      what ComfyUI listens at, such as 0.0.0.0   (COMFYNB_LISTEN)
  --start, --no-start   start ComfyUI at the end, or do not
  --no-install-scripts  do not run the install.py of node packs
  --verify              hash again what earlier runs have verified
  --replace             overwrite what is in the way and not ours
  --allow-http          fetch the locked addresses that are http; tokens never go there
  --exec COMMAND ...    only run COMMAND with the deployment's environment variables
  --help

Tokens come from HF_TOKEN and CIVITAI_TOKEN, or from the files hf_token and civitai_token in
/run/secrets (COMFYNB_SECRETS). Each goes to its own host only, and to no other program.

Exit codes: 0 done, 1 unexpected, 2 usage, 3 disk full, 4 download failed, 5 wrong content,
6 git, 7 Python, 8 system packages, 9 another run is busy, 10 a token is missing,
130 interrupted, 143 terminated.
HELP
}

parse_options() {
  local option
  while (($# > 0)); do
    option=$1
    shift
    case $option in
      --dry-run) DRY_RUN=yes ;;
      --replace) REPLACE=yes ;;
      --verify) VERIFY=yes ;;
      --allow-http) ALLOW_HTTP=yes ;;
      --no-install-scripts) INSTALL_SCRIPTS=no ;;
      --start) START=yes ;;
      --no-start) START=no ;;
      --help | -h)
        usage
        exit 0
        ;;
      --exec)
        (($# > 0)) || die "$EXIT_USAGE" '--exec needs a command'
        EXEC=("$@")
        return
        ;;
      --workspace | --models | --jobs | --headroom | --installer | --port | --listen)
        (($# > 0)) || die "$EXIT_USAGE" "$option needs a value; see --help"
        case $option in
          --workspace) WORKSPACE=$1 ;;
          --models) MODELS=$1 ;;
          --jobs) JOBS=$1 ;;
          --headroom) HEADROOM=$1 ;;
          --installer) INSTALLER=$1 ;;
          --port) PORT=$1 ;;
          --listen) LISTEN=$1 ;;
        esac
        shift
        ;;
      *) die "$EXIT_USAGE" "unknown option $(tame "$option"); see --help" ;;
    esac
  done
}

absolute() { # WHAT PATH: the path, without ~ . and ..
  local path=$2
  # shellcheck disable=SC2088 # the tilde is one that no shell has expanded
  if [[ $path == '~' || $path == '~/'* ]]; then
    [[ -n ${HOME:-} ]] || die "$EXIT_USAGE" "$1 begins with ~, and HOME is not set"
    path=$HOME${path#'~'}
  fi
  if [[ $path != /* || $path == *[[:cntrl:]]* ]]; then
    die "$EXIT_USAGE" "$1 must be an absolute path, not $(tame "$path")"
  fi
  realpath -m -- "$path"
}

check_options() {
  [[ $JOBS =~ ^[1-9][0-9]?$ ]] || die "$EXIT_USAGE" '--jobs must be a number from 1 to 99'
  [[ $PORT =~ ^[1-9][0-9]{0,4}$ && $PORT -le 65535 ]] ||
    die "$EXIT_USAGE" '--port must be a number from 1 to 65535'
  [[ $HEADROOM =~ ^(0|[1-9][0-9]{0,14})?$ ]] || die "$EXIT_USAGE" '--headroom must be a number of bytes'
  [[ $LISTEN =~ ^[0-9a-fA-F.:,]+$ ]] || die "$EXIT_USAGE" '--listen must be an IP address'
  case $INSTALLER in auto | uv | pip) ;; *) die "$EXIT_USAGE" '--installer is auto, uv or pip' ;; esac
  WORKSPACE=$(absolute --workspace "${WORKSPACE:-$DEFAULT_WORKSPACE}") || exit
  [[ $WORKSPACE != / ]] || die "$EXIT_USAGE" '--workspace must be a folder of its own, not /'
  COMFYUI=$WORKSPACE/ComfyUI
  VENV=$WORKSPACE/$ENVIRONMENT_NAME
  STATE=$WORKSPACE/.comfynb
  if [[ -n ${COMFYNB_STATE:-} ]]; then STATE=$(absolute COMFYNB_STATE "$COMFYNB_STATE") || exit; fi
  if [[ -n $MODELS ]]; then MODELS=$(absolute --models "$MODELS") || exit; fi
  if [[ -n $PARTS ]]; then PARTS=$(absolute COMFYNB_PARTS "$PARTS") || exit; fi
  START=${START:-$DEFAULT_START}
}

# From here on no program that is started inherits a token; pass_on hands ComfyUI its own.
read_tokens() {
  local name file value
  for name in HF_TOKEN CIVITAI_TOKEN; do
    value=${!name:-}
    file=$SECRETS/${name,,}
    if [[ -z $value && -r $file ]]; then
      IFS= read -r value <"$file" || true
      value=${value%$'\r'}
    fi
    if [[ -n $value && ! $value =~ ^[A-Za-z0-9._~+/=-]+$ ]]; then
      die "$EXIT_TOKEN" "$name holds characters that no token has: is it cut off, or quoted?"
    fi
    export -n "${name?}"
    printf -v "$name" '%s' "$value"
  done
  for name in "${FROM_OUTSIDE[@]}"; do export -n "${name?}"; done
}

token_name() { # SERVICE
  case $1 in
    HUGGINGFACE) printf 'HF_TOKEN' ;;
    CIVITAI) printf 'CIVITAI_TOKEN' ;;
  esac
}

# SERVICE URL: whether the service's token may go there. The host is compared as a whole.
may_see_token() {
  local host
  [[ $2 =~ ^https://([^/?#]+) ]] || return 1
  host=${BASH_REMATCH[1],,}
  host=${host%:443}
  case $1/$host in
    HUGGINGFACE/huggingface.co | CIVITAI/civitai.com | CIVITAI/www.civitai.com | CIVITAI/civitai.red) ;;
    *) return 1 ;;
  esac
}

require_programs() {
  local program
  local -a missing=()
  for program in "$@"; do
    command -v -- "$program" >/dev/null || missing+=("$program")
  done
  if ((${#missing[@]} > 0)); then
    die "$EXIT_SYSTEM" "not installed here: ${missing[*]} (Debian: apt-get install curl git util-linux)"
  fi
}
