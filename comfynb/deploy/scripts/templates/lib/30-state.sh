# What has been done: a stamp for each step, with the hash of what the step was asked for.

open_state() {
  mkdir -p -- "$STATE/steps" "$STATE/jobs" "$STATE/logs"
  exec 9>>"$STATE/lock"
  if ! flock -w 10 9; then
    die "$EXIT_BUSY" "another run is busy in $WORKSPACE; wait for it, or end it"
  fi
  rm -rf -- "$STATE"/run.*
  RUN=$(mktemp -d -- "$STATE/run.XXXXXX")
  : >"$RUN/failures"
}

stamp() { # FILE WORDS...
  local file=$1
  shift
  printf '%s\n' "$*" >"$file.new" && mv -f -T -- "$file.new" "$file"
}

stamped() { # FILE WORDS...: whether the stamp says just that
  local file=$1 found=''
  shift
  [[ -f $file ]] || return 1
  IFS= read -r found <"$file" || return 1
  [[ $found == "$*" ]]
}

file_mark() { # FILE: its size and time
  stat -L -c '%s %Y' -- "$1"
}

# DIRECTORY: sets REPLY to the nearest folder above that exists.
existing() {
  local folder=$1
  while [[ -n $folder && ! -e $folder ]]; do folder=${folder%/*}; done
  REPLY=${folder:-/}
}

free_bytes() { # FOLDER: the free bytes of its file system
  local free
  # Only this column: what a file system is called may have spaces in it.
  free=$(df -k --output=avail -- "$1") || return
  free=${free##*[!0-9]}
  [[ -n $free ]] || return
  printf '%s\n' "$((free * 1024))"
}

file_system() { # FOLDER: what its file system is called
  stat -L -c %d -- "$1"
}
