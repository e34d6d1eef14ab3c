# Plan, run, summary, start.

# Counts what is missing. Sets MISSING_BYTES, MISSING_FILES, UNKNOWN_FILES, and NEED and PLACE by
# file system.
declare -A NEED=() PLACE=()
MISSING_BYTES=0 MISSING_FILES=0 UNKNOWN_FILES=0 TOTAL_BYTES=0

need() { # FOLDER BYTES
  local folder system
  folder=$(existing "$1")
  system=$(file_system "$folder")
  PLACE[$system]=$folder
  NEED[$system]=$((${NEED[$system]:-0} + $2))
}

plan() {
  local -i index
  local -a file
  local folder known='' at='' final part bytes
  for ((index = 0; index < ${#FILES[@]}; index += FILE_FIELDS)); do
    file=("${FILES[@]:index:FILE_FIELDS}")
    folder=$(place "${file[3]}")
    final=$folder/${file[4]}
    TOTAL_BYTES=$((TOTAL_BYTES + file[6]))
    if [[ -f $final ]]; then
      if [[ $DRY_RUN == yes ]]; then say "there: ${file[2]}"; fi
      continue
    fi
    part=$folder/.comfynb-${file[0]}-${file[1]}.part
    if [[ -n $PARTS ]]; then part=$PARTS/${file[0]}-${file[1]}.part; fi
    bytes=$((file[6] - $(size_of "$part")))
    if ((bytes < 0)); then bytes=0; fi
    if ((file[6] == 0)); then UNKNOWN_FILES=$((UNKNOWN_FILES + 1)); fi
    MISSING_FILES=$((MISSING_FILES + 1))
    MISSING_BYTES=$((MISSING_BYTES + bytes))
    if [[ $folder != "$known" ]]; then
      known=$folder
      at=$(existing "$folder")
    fi
    need "$at" "$bytes"
    if [[ -n $PARTS ]]; then need "$PARTS" "$bytes"; fi
    check_token "${file[2]}" "${file[8]}"
    if [[ $DRY_RUN == yes ]]; then
      if ((file[6] == 0)); then say "would fetch: ${file[2]} (size unknown)"; else say "would fetch: ${file[2]} ($(human "$bytes"))"; fi
    fi
  done
  if [[ -n $PYTHON_VERSION && ! -e $VENV/pyvenv.cfg ]]; then need "$WORKSPACE" "$PYTHON_BYTES"; fi
}

check_token() { # LABEL SERVICE
  local name hint
  [[ -n $2 ]] || return 0
  name=$(token_name "$2")
  [[ -z ${!name} ]] || return 0
  case $TARGET in
    runpod) hint="in the pod's template set $name to {{ RUNPOD_SECRET_${name,,} }}" ;;
    docker) hint="build with --secret id=${name,,},env=$name" ;;
    *) hint="export $name=..." ;;
  esac
  if [[ $DRY_RUN == yes ]]; then
    say "would fail: $1 needs $name: $hint"
  else
    die "$EXIT_TOKEN" "$1 needs $name: $hint"
  fi
}

# Nothing is begun that cannot end: all that is missing, and what must stay free.
check_disk() {
  local system free room
  for system in "${!NEED[@]}"; do
    room=${HEADROOM:-$((1024 * 1024 * 1024 + NEED[$system] / 20))}
    free=$(free_bytes "${PLACE[$system]}") ||
      die "$EXIT_DISK" "df does not say how much is free at ${PLACE[$system]}"
    if [[ $DRY_RUN == yes ]]; then
      say "disk at ${PLACE[$system]}: $(human "${NEED[$system]}") needed, $(human "$room") must stay free, $(human "$free") are free"
    fi
    ((free < NEED[$system] + room)) || continue
    if [[ $DRY_RUN == yes ]]; then
      say "would fail: not enough disk at ${PLACE[$system]}"
    else
      die "$EXIT_DISK" "not enough disk at ${PLACE[$system]}: $(human "${NEED[$system]}") are needed and $(human "$room") must stay free, $(human "$free") are free"
    fi
  done
}

dry_run() {
  local -i index
  local package
  say "would install: $NAME"
  say "workspace: $WORKSPACE"
  if ((${#APT_PACKAGES[@]} > 0)); then
    while IFS= read -r package; do say "would install package: $package"; done < <(missing_packages)
  fi
  if [[ -n $COMFYUI_COMMIT ]]; then would_check_out "ComfyUI $COMFYUI_VERSION" comfyui "$COMFYUI_COMMIT"; fi
  for ((index = 0; index < ${#NODES[@]}; index += NODE_FIELDS)); do
    would_check_out "${NODES[index + 1]}" "${NODES[index]}" "${NODES[index + 4]}"
  done
  if [[ -n $PYTHON_VERSION ]]; then
    for ((index = 0; index < ${#SETS[@]}; index++)); do
      if ! stamped "$VENV/.comfynb-${SETS[index]}" "${SET_CONTENTS[index]}"; then
        say "would install: Python packages ${SETS[index]} (${SET_LINES[index]#* })"
      fi
    done
  fi
  plan
  say "to fetch: $MISSING_FILES files, $(human "$MISSING_BYTES"), and $UNKNOWN_FILES of unknown size"
  check_disk
  say 'nothing was changed'
}

would_check_out() { # LABEL ID COMMIT
  if stamped "$STATE/steps/$2" "$3"; then say "there: $1"; else say "would check out: $1 at ${3:0:12}"; fi
}

# Says every few seconds how far the downloads are, until the script is gone.
watch() {
  local -a places=() file
  local -i index now before=-1
  for ((index = 0; index < ${#FILES[@]}; index += FILE_FIELDS)); do
    file=("${FILES[@]:index:FILE_FIELDS}")
    if [[ -n $PARTS ]]; then places+=("$PARTS/${file[0]}-${file[1]}.part"); else
      places+=("$(place "${file[3]}")/.comfynb-${file[0]}-${file[1]}.part")
    fi
    places+=("$(place "${file[3]}")/${file[4]}")
  done
  while sleep 10 && kill -0 "$$" 2>/dev/null; do
    now=$(stat -L -c %s -- "${places[@]}" 2>/dev/null | awk '{ sum += $1 } END { printf "%d", sum }') || now=0
    if ((before >= 0 && now != before)); then
      say "$(human "$now") of $(human "$TOTAL_BYTES"), $(human "$(((now - before) / 10))")/s"
    fi
    before=now
  done
}

count_of() { # WORD ID...: how many of the results say WORD
  local word=$1 id found
  local -i count=0
  shift
  for id in "$@"; do
    found=''
    if [[ -f $RUN/$id ]]; then IFS= read -r found <"$RUN/$id" || true; fi
    if [[ $found == "$word" ]]; then count=$((count + 1)); fi
  done
  printf '%d' "$count"
}

summary_line() { # WHAT ID...
  local what=$1
  shift
  (($# > 0)) || return 0
  say "  $what: $# locked, $(count_of installed "$@") installed, $(count_of there "$@") there already"
}

# Exits with the code of the first failure, if there is one.
summary() {
  local code line warning
  local -i index first=0 failures=0
  local -a ids=()
  say ''
  say "$NAME${DIGEST:+ ($DIGEST)}"
  if [[ -n $COMFYUI_COMMIT ]]; then summary_line "ComfyUI $COMFYUI_VERSION" comfyui; fi
  for ((index = 0; index < ${#NODES[@]}; index += NODE_FIELDS)); do
    ids+=("${NODES[index]}")
  done
  for ((index = 0; index < ${#UNPACK[@]}; index += UNPACK[index] + 1)); do
    ids+=("${UNPACK[index + 1]}-unpacked")
  done
  summary_line 'node packs' "${ids[@]}"
  if ((${#APT_PACKAGES[@]} > 0)); then summary_line 'system packages' packages; fi
  if [[ -n $PYTHON_VERSION ]]; then summary_line "Python $PYTHON_VERSION" python; fi
  ids=()
  for ((index = 0; index < ${#FILES[@]}; index += FILE_FIELDS)); do ids+=("${FILES[index]}"); done
  summary_line 'files' "${ids[@]}"
  for warning in "${WARNINGS[@]}"; do say "  warning: $warning"; done
  while IFS=$'\t' read -r code line; do
    failures=$((failures + 1))
    if ((first == 0)); then first=$code; fi
    say "  FAILED: $line"
  done <"$RUN/failures"
  if ((failures > 0)); then
    say "$failures failed; run it again to go on from here"
    exit "$first"
  fi
}

# The one line that makes this machine a backend.
register_line() {
  local address=${COMFYNB_ADDRESS:-$(hostname)}
  # What listens to this machine only, or behind a port that Docker publishes on it.
  if [[ $LISTEN == 127.0.0.1 || $TARGET == docker ]]; then address=${COMFYNB_ADDRESS:-127.0.0.1}; fi
  address=http://$address:$PORT
  if [[ $TARGET == runpod && ${RUNPOD_POD_ID:-} =~ ^[A-Za-z0-9-]+$ ]]; then
    address=https://$RUNPOD_POD_ID-$PORT.proxy.runpod.net
  fi
  say "In comfynb: wb.backends.add(\"$(tame "$address")\", name=$PYTHON_NAME)"
}

start_command() { # sets COMMAND
  COMMAND=(env -- "${ENVIRONMENT[@]}" "$VENV/bin/python" "$COMFYUI/main.py" --listen "$LISTEN" --port "$PORT")
  if [[ -z $CUDA ]]; then COMMAND+=(--cpu); fi
  if [[ -f $STATE/extra_model_paths.yaml && -n $MODELS ]]; then
    COMMAND+=(--extra-model-paths-config "$STATE/extra_model_paths.yaml")
  fi
}

# Variables that come from the machine; a token is among them only if the deployment names it.
pass_on() {
  local name
  for name in "${FROM_OUTSIDE[@]}"; do
    if [[ -n ${!name:-} ]]; then
      export "${name?}"
    else
      printf 'warning: %s is not set on this machine; the deployment wants it\n' "$name" >&2
    fi
  done
}

main() {
  set_traps
  parse_options "$@"
  deployment
  check_options
  read_tokens
  if ((${#EXEC[@]} > 0)); then
    pass_on
    trap - EXIT ERR INT TERM HUP
    exec env -- "${ENVIRONMENT[@]}" "${EXEC[@]}"
  fi
  require_programs awk curl date df dirname flock git head hostname mktemp od realpath sed \
    sha256sum sort stat tail tr
  if [[ $DRY_RUN == yes ]]; then
    dry_run
    exit 0
  fi
  plan
  check_disk
  open_state
  check_driver
  # An install.py may ask for pip, which uv leaves out.
  if [[ $INSTALL_SCRIPTS == yes && $WANTS_PIP == yes ]]; then SEED=(--seed); fi
  install
  summary
  start
}

install() {
  step_packages || true
  if [[ -n $COMFYUI_COMMIT ]]; then
    # There is nothing to put the rest in without it.
    step_comfyui || summary
  fi
  step_python || true
  step_nodes
  start_watch
  step_files 'pack*'
  step_unpack
  step_files 'model*'
  stop_watch
  step_install_scripts
  step_model_paths
}

WATCH=''
start_watch() {
  ((${#FILES[@]} > 0)) || return 0
  set -m
  (
    trap - EXIT ERR INT TERM HUP
    set +e
    watch
  ) 9>&- </dev/null &
  WATCH=$!
  set +m
}

stop_watch() {
  if [[ -n $WATCH ]]; then kill -TERM -- "-$WATCH" 2>/dev/null || true; fi
}

start() {
  if [[ $TARGET == docker && $START == no ]]; then return 0; fi # a layer of an image
  register_line
  if [[ $START == no ]]; then
    say "Start it with: $0 --start (and --listen 0.0.0.0 for other machines)"
    return 0
  fi
  start_command
  say "starting ComfyUI on port $PORT"
  pass_on
  rm -rf -- "$RUN"
  trap - EXIT ERR INT TERM HUP
  exec "${COMMAND[@]}" 9>&-
}
