# Words for people, exit codes, and what happens at the end.

readonly EXIT_UNEXPECTED=1 EXIT_USAGE=2 EXIT_DISK=3 EXIT_DOWNLOAD=4 EXIT_VERIFY=5
readonly EXIT_GIT=6 EXIT_PYTHON=7 EXIT_SYSTEM=8 EXIT_BUSY=9 EXIT_TOKEN=10

RUN=''         # folder of this run: results, failures
FIRST_CODE=''  # of what failed first, also where the disk is too full to write it down

say() { printf '%s\n' "$*"; }

# What a server or a program said, made fit for a terminal: in ASCII nothing turns the text around.
tame() {
  local LC_ALL=C
  local text=${1:0:300}
  printf '%s' "${text//[^[:print:]]/?}"
}

die() { # CODE MESSAGE: nothing else can be done
  local code=$1
  shift
  printf 'error: %s\n' "$*" >&2
  exit "$code"
}

fail() { # CODE WHAT MESSAGE: this part failed; the others go on, and the summary says so
  local code=$1 what=$2
  shift 2
  FIRST_CODE=${FIRST_CODE:-$code}
  printf '%s\t%s: %s\n' "$code" "$what" "$*" >>"$RUN/failures" || true
  printf 'failed: %s: %s\n' "$what" "$*" >&2
  return "$code"
}

human() { # BYTES: sets REPLY
  local -i bytes=$1 unit=0
  local -a units=(B KiB MiB GiB TiB PiB)
  local -i scaled=$((bytes * 10))
  while ((scaled >= 10240 && unit < 5)); do
    scaled=$((scaled / 1024))
    unit=$((unit + 1))
  done
  if ((unit == 0)); then
    REPLY="$bytes B"
  else
    REPLY="$((scaled / 10)).$((scaled % 10)) ${units[unit]}"
  fi
}

size_of() { # FILE: its bytes, 0 where there is none
  [[ -s $1 ]] || { printf '0\n' && return; }
  stat -L -c %s -- "$1" 2>/dev/null || printf '0\n'
}

# Ends what still runs. A job has a process group of its own, so its curl or git goes with it.
end_jobs() {
  local pid
  for pid in $(jobs -p); do
    kill -TERM -- "-$pid" 2>/dev/null || true
  done
}

on_exit() {
  local code=$?
  trap - EXIT ERR INT TERM HUP
  end_jobs
  if [[ -n $RUN ]]; then rm -rf -- "$RUN"; fi
  exit "$code"
}

on_error() {
  local code=$? line=$1
  printf 'error: line %s of this script ended with status %s\n' "$line" "$code" >&2
  exit "$EXIT_UNEXPECTED"
}

set_traps() {
  trap on_exit EXIT
  trap 'on_error "$LINENO"' ERR
  trap 'printf "interrupted\n" >&2; exit 130' INT
  trap 'printf "terminated\n" >&2; exit 143' TERM HUP
}

# FUNCTION INDEX...: calls FUNCTION with each index, at most $JOBS at a time; whether all succeeded.
run_jobs() {
  local function=$1 index all=yes
  local -A running=() # index by process
  shift
  for index in "$@"; do
    while ((${#running[@]} >= JOBS)); do one_ends; done
    set -m # a process group of its own
    (
      trap - EXIT ERR INT TERM HUP
      set +e
      "$function" "$index"
    ) 9>&- </dev/null &
    set +m
    running[$!]=$index
  done
  while ((${#running[@]} > 0)); do one_ends; done
  [[ $all == yes ]]
}

# Takes those that have ended out of run_jobs's running, or waits until one has.
one_ends() {
  local pid
  local -i code before=${#running[@]}
  for pid in "${!running[@]}"; do
    if kill -0 "$pid" 2>/dev/null; then continue; fi
    code=0
    wait "$pid" 2>/dev/null || code=$?
    if ((code > 128)); then
      fail "$EXIT_UNEXPECTED" "$function ${running[$pid]}" "it was killed by signal $((code - 128))" || true
    fi
    # What a job could not write down, because the disk is full, its status still says.
    if ((code != 0)); then all=no FIRST_CODE=${FIRST_CODE:-$code}; fi
    unset -v "running[$pid]"
  done
  if ((${#running[@]} == before)); then wait -n "${!running[@]}" || true; fi
}

# KEY: makes the job the only one for KEY. What an earlier, killed run left running ends first.
only_one() {
  exec 8>>"$STATE/jobs/$1"
  if ! flock -n 8; then
    say "waiting for what an earlier run left running ($1)"
    flock 8 || return
  fi
}
