# Plan, run, summary, start.

# Counts what is missing. Sets MISSING_BYTES, MISSING_FILES, UNKNOWN_FILES, and NEED and PLACE by
# file system.
declare -A NEED=() PLACE=()
MISSING_BYTES=0 MISSING_FILES=0 UNKNOWN_FILES=0 TOTAL_BYTES=0

declare -A SYSTEMS=() # file system by folder: asking costs a program

need() { # FOLDER BYTES
  local system
  existing "$1"
  if [[ -z ${SYSTEMS[$REPLY]:-} ]]; then SYSTEMS[$REPLY]=$(file_system "$REPLY"); fi
  system=${SYSTEMS[$REPLY]}
  PLACE[$system]=$REPLY
  NEED[$system]=$((${NEED[$system]:-0} + $2))
}

# FILE ID CONTENT SIZE: whether the file that is there must be another one, as far as a look tells.
is_another() {
  local found=''
  if [[ -f $STATE/steps/$2 ]]; then IFS= read -r found <"$STATE/steps/$2" || true; fi
  [[ -n $found && ${found%% *} != "$3" ]] || (($4 > 0 && $(size_of "$1") != $4))
}

plan() {
  local -i index bytes size
  local id label folder final part
  for ((index = 0; index < ${#FILES[@]}; index += FILE_FIELDS)); do
    id=${FILES[index]} label=${FILES[index + 2]} size=${FILES[index + 6]}
    place "${FILES[index + 3]}"
    folder=$REPLY
    final=$folder/${FILES[index + 4]}
    TOTAL_BYTES=$((TOTAL_BYTES + size))
    if [[ -f $final ]]; then
      if ! is_another "$final" "$id" "${FILES[index + 1]}" "$size"; then
        if [[ $DRY_RUN == yes ]]; then say "there: $label"; fi
        continue
      elif [[ $REPLACE == no && ! -f $STATE/steps/$id ]]; then
        if [[ $DRY_RUN == yes ]]; then say "would fail: $label: the file that is there is another one"; fi
        continue
      fi
    fi
    part=$folder/.comfynb-$id-${FILES[index + 1]}.part
    if [[ -n $PARTS ]]; then part=$PARTS/$id-${FILES[index + 1]}.part; fi
    bytes=$size
    if [[ -s $part ]]; then bytes=$((size - $(size_of "$part"))); fi
    if ((bytes < 0)); then bytes=0; fi
    if ((size == 0)); then UNKNOWN_FILES=$((UNKNOWN_FILES + 1)); fi
    MISSING_FILES=$((MISSING_FILES + 1))
    MISSING_BYTES=$((MISSING_BYTES + bytes))
    need "$folder" "$bytes"
    if [[ -n $PARTS ]]; then need "$PARTS" "$bytes"; fi
    check_token "$label" "${FILES[index + 8]}"
    if [[ $DRY_RUN == yes ]]; then
      human "$bytes"
      if ((size == 0)); then REPLY='size unknown'; fi
      say "would fetch: $label ($REPLY)"
    fi
  done
  if [[ -n $PYTHON_VERSION && ! -e $VENV/pyvenv.cfg ]]; then need "$WORKSPACE" "$PYTHON_BYTES"; fi
}

check_token() { # LABEL SERVICE
  local name hint
  if [[ -z $2 ]]; then return 0; fi
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
  local system free room words
  for system in "${!NEED[@]}"; do
    room=${HEADROOM:-$((1024 * 1024 * 1024 + NEED[$system] / 20))}
    free=$(free_bytes "${PLACE[$system]}") ||
      die "$EXIT_DISK" "df does not say how much is free at ${PLACE[$system]}"
    human "${NEED[$system]}"
    words="disk at ${PLACE[$system]}: $REPLY needed"
    human "$room"
    words+=", $REPLY must stay free"
    human "$free"
    words+=", $REPLY are free"
    if ((free >= NEED[$system] + room)); then
      if [[ $DRY_RUN == yes ]]; then say "$words"; fi
    elif [[ $DRY_RUN == yes ]]; then
      say "would fail: not enough $words"
    else
      die "$EXIT_DISK" "not enough $words"
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
  human "$MISSING_BYTES"
  say "to fetch: $MISSING_FILES files, $REPLY, and $UNKNOWN_FILES of unknown size"
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
  local all
  human "$TOTAL_BYTES"
  all=$REPLY
  for ((index = 0; index < ${#FILES[@]}; index += FILE_FIELDS)); do
    file=("${FILES[@]:index:FILE_FIELDS}")
    place "${file[3]}"
    places+=("$REPLY/${file[4]}")
    if [[ -n $PARTS ]]; then
      places+=("$PARTS/${file[0]}-${file[1]}.part")
    else
      places+=("$REPLY/.comfynb-${file[0]}-${file[1]}.part")
    fi
  done
  while sleep 10 && kill -0 "$$" 2>/dev/null; do
    now=$(stat -L -c %s -- "${places[@]}" 2>/dev/null | awk '{ sum += $1 } END { printf "%d", sum }') || now=0
    if ((before >= 0 && now != before)); then
      human "$now"
      printf '%s of %s' "$REPLY" "$all"
      human "$(((now - before) / 10))"
      say ", $REPLY/s"
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
  if ((failures == 0)) && [[ -n $FIRST_CODE ]]; then
    failures=1 first=$FIRST_CODE
    say '  FAILED: what it was could not be written down: is the disk or the quota full?'
  fi
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
  say "In comfynb: wb.backends.add(\"${address//[^[:alnum:].:\/\[\]_-]/?}\", name=$PYTHON_NAME)"
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
  step_nodes || true
  start_watch
  step_files 'pack*' || true
  step_unpack
  step_files 'model*' || true
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
