# What the lock says, and the steps that bring it about.

TARGET='' NAME='' PYTHON_NAME='' DIGEST='' DEFAULT_WORKSPACE='' DEFAULT_START=no
ENVIRONMENT_NAME=venv ENVIRONMENT=() FROM_OUTSIDE=() SEED=() WARNINGS=()
COMFYUI_VERSION='' COMFYUI_URL='' COMFYUI_COMMIT=''
NODES=() FILES=() UNPACK=() INSTALLS=() MODEL_FOLDERS=()

lock_about() { # TARGET NAME PYTHON-NAME DIGEST WORKSPACE ENVIRONMENT-NAME START LISTEN
  TARGET=$1 NAME=$2 PYTHON_NAME=$3 DIGEST=$4 DEFAULT_WORKSPACE=$5 ENVIRONMENT_NAME=$6
  DEFAULT_START=$7 LISTEN=${LISTEN:-$8}
}

lock_parts() { # FOLDER: where unfinished files are kept instead of beside the finished ones
  PARTS=${PARTS:-$1}
}

lock_comfyui() { # VERSION URL COMMIT
  COMFYUI_VERSION=$1 COMFYUI_URL=$2 COMFYUI_COMMIT=$3
}

lock_environment() { # NAME=VALUE...
  ENVIRONMENT+=("$@")
}

lock_from_outside() { # NAME...: variables that the machine itself must have
  FROM_OUTSIDE+=("$@")
}

# Records of several fields are kept one after another.
readonly NODE_FIELDS=5 FILE_FIELDS=9 INSTALL_FIELDS=4

lock_node() { # ID LABEL FOLDER URL COMMIT
  NODES+=("$@")
}

# ID LABEL FOLDER CONTENT ARCHIVES...: archives become a folder of custom_nodes.
lock_unpack() {
  UNPACK+=("$#" "$@")
}

lock_install_script() { # ID LABEL FOLDER CONTENT
  INSTALLS+=("$@")
}

# A file of a node pack has an ID that begins with pack; folders in @ lie in the state folder.
lock_file() { # ID CONTENT LABEL FOLDER NAME URL SIZE SHA256 SERVICE
  FILES+=("$@")
}

lock_model_folders() { # folders below models
  MODEL_FOLDERS+=("$@")
}

warn() {
  WARNINGS+=("$*")
  printf 'warning: %s\n' "$*" >&2
}

# FOLDER: sets REPLY to where a folder below ComfyUI's really is.
place() {
  if [[ -n $MODELS && ($1 == models || $1 == models/*) ]]; then
    REPLY=$MODELS${1#models}
  elif [[ $1 == @/* ]]; then
    REPLY=$STATE/${1#@/}
  else
    REPLY=$COMFYUI/$1
  fi
}

step_comfyui() {
  [[ -n $COMFYUI_COMMIT ]] || return 0
  run_jobs one_comfyui 0
}

one_comfyui() {
  only_one comfyui &&
    check_out comfyui "ComfyUI $COMFYUI_VERSION" "$COMFYUI" "$COMFYUI_URL" "$COMFYUI_COMMIT"
}

one_node() {
  local -a node=("${NODES[@]:$1*NODE_FIELDS:NODE_FIELDS}")
  only_one "${node[0]}" &&
    check_out "${node[0]}" "${node[1]}" "$COMFYUI/custom_nodes/${node[2]}" "${node[3]}" "${node[4]}"
}

step_nodes() {
  local -a indices=()
  local -i index
  for ((index = 0; index * NODE_FIELDS < ${#NODES[@]}; index++)); do indices+=("$index"); done
  run_jobs one_node "${indices[@]}"
}

# Whether a folder below custom_nodes is still one: a pack may have brought a link to elsewhere.
stays_inside() { # FOLDER
  local root
  root=$(realpath -m -- "$COMFYUI/custom_nodes")
  [[ $(realpath -m -- "$1")/ == "$root"/* ]]
}

one_file() {
  local -a file=("${FILES[@]:$1*FILE_FIELDS:FILE_FIELDS}")
  local folder pack
  place "${file[3]}"
  folder=$REPLY
  if [[ ${file[3]} == custom_nodes/* ]]; then
    stays_inside "$folder" ||
      fail "$EXIT_VERIFY" "${file[2]}" "$folder leads out of custom_nodes" || return
    pack=${file[3]#custom_nodes/}
    [[ ${file[0]} == pack* || -d $COMFYUI/custom_nodes/${pack%%/*} ]] ||
      fail "$EXIT_DOWNLOAD" "${file[2]}" 'its node pack is not there' || return
  fi
  only_one "${file[0]}" &&
    bring "${file[5]}" "$folder" "${file[4]}" "${file[6]}" "${file[7]}" "${file[8]}" "${file[2]}" \
      "${file[0]}" "${file[1]}"
}

step_files() { # PATTERN of the files' ids
  local -a indices=()
  local -i index
  for ((index = 0; index * FILE_FIELDS < ${#FILES[@]}; index++)); do
    # shellcheck disable=SC2053 # a pattern
    if [[ ${FILES[index * FILE_FIELDS]} == $1 ]]; then indices+=("$index"); fi
  done
  run_jobs one_file "${indices[@]}"
}

unpack() { # ID LABEL FOLDER CONTENT ARCHIVES...
  local id=$1 label=$2 folder=$COMFYUI/custom_nodes/$3 content=$4 fresh=$STATE/unpack-$1 archive
  shift 4
  if stamped "$folder/.comfynb" "$content"; then
    printf 'there\n' >"$RUN/$id-unpacked"
    return 0
  fi
  if [[ -e $folder && ! -f $folder/.comfynb && $REPLACE == no ]]; then
    fail "$EXIT_VERIFY" "$label" "$folder is in the way: move it away, or run with --replace" || return
  fi
  rm -rf -- "$fresh"
  mkdir -p -- "$fresh" "$COMFYUI/custom_nodes"
  for archive in "$@"; do
    [[ -f $STATE/archives/$id/$archive ]] || return # it failed before
    "$VENV/bin/python" -I -c '
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    for one in archive.infolist():
        parts = one.filename.replace("\\", "/").split("/")
        if ".." in parts or one.filename.startswith(("/", "\\")) or one.external_attr >> 28 == 0xA:
            sys.exit(f"the archive holds the unsafe name {one.filename!a:.60}")
    archive.extractall(sys.argv[2])
' "$STATE/archives/$id/$archive" "$fresh" 2>"$STATE/logs/$id.log" ||
      fail "$EXIT_VERIFY" "$label" "$(last_words "$STATE/logs/$id.log")" || return
  done
  stamp "$fresh/.comfynb" "$content" ||
    fail "$EXIT_DISK" "$label" "$fresh/.comfynb cannot be written" || return
  rm -rf -- "$STATE/old-$id"
  if [[ -e $folder ]]; then mv -T -- "$folder" "$STATE/old-$id"; fi
  mv -T -- "$fresh" "$folder" ||
    fail "$EXIT_DISK" "$label" "$folder could not be put in place" || return
  rm -rf -- "$STATE/old-$id"
  printf 'installed\n' >"$RUN/$id-unpacked"
}

step_unpack() {
  local -i index=0
  while ((index < ${#UNPACK[@]})); do
    unpack "${UNPACK[@]:index+1:UNPACK[index]}" || true
    index=$((index + UNPACK[index] + 1))
  done
}

# What install.py does is its author's affair; the locked versions stay, and tokens are not there.
step_install_scripts() {
  local -i index
  local -a one
  local folder constraints=$STATE/constraints.txt log
  for ((index = 0; index < ${#INSTALLS[@]}; index += INSTALL_FIELDS)); do
    one=("${INSTALLS[@]:index:INSTALL_FIELDS}")
    folder=$COMFYUI/custom_nodes/${one[2]}
    log=$STATE/logs/${one[0]}.log
    if stamped "$VENV/.comfynb-${one[0]}" "${one[3]}" || [[ ! -f $folder/install.py ]]; then
      continue
    fi
    if [[ $INSTALL_SCRIPTS == no ]]; then
      warn "${one[1]}: its install.py was not run"
      continue
    fi
    say "running ${one[1]}'s install.py"
    printf '%s\n' "${CONSTRAINTS[@]}" >"$constraints"
    if (cd -- "$folder" && env -- "${ENVIRONMENT[@]}" "PIP_CONSTRAINT=$constraints" "UV_CONSTRAINT=$constraints" \
      "VIRTUAL_ENV=$VENV" "$VENV/bin/python" install.py </dev/null >"$log" 2>&1 9>&-); then
      stamp "$VENV/.comfynb-${one[0]}" "${one[3]}"
    else
      fail "$EXIT_PYTHON" "${one[1]}" "install.py: $(last_words "$log")" || true
    fi
  done
}

# Tells ComfyUI about --models.
step_model_paths() {
  local folder base
  [[ -n $MODELS && ${#MODEL_FOLDERS[@]} -gt 0 ]] || return 0
  base=${MODELS//\\/\\\\}
  {
    printf 'comfynb:\n  base_path: "%s"\n' "${base//\"/\\\"}"
    for folder in "${MODEL_FOLDERS[@]}"; do printf '  "%s": "%s/"\n' "$folder" "$folder"; done
  } >"$STATE/extra_model_paths.yaml.new"
  mv -f -T -- "$STATE/extra_model_paths.yaml.new" "$STATE/extra_model_paths.yaml"
}
