# Repositories at exactly one commit.

# DIRECTORY ARGUMENTS...: git in the directory. Hooks of what was there before do not run, nobody is
# asked for anything, and where the repository is damaged git does not take the one around it.
git_in() {
  local folder=$1
  shift
  GIT_TERMINAL_PROMPT=0 GIT_ASKPASS='' GIT_CEILING_DIRECTORIES=${folder%/*} git -C "$folder" -c "safe.directory=$folder" -c core.hooksPath=/dev/null -c gc.auto=0 \
    -c core.autocrlf=false -c advice.detachedHead=false "$@" 9>&-
}

head_of() { # DIRECTORY
  git_in "$1" rev-parse --verify --quiet 'HEAD^{commit}' 2>/dev/null
}

fetch_commit() { # DIRECTORY URL COMMIT LOG
  if git_in "$1" cat-file -e "$3^{commit}" 2>/dev/null; then return 0; fi
  if git_in "$1" fetch --quiet --no-tags --depth 1 -- "$2" "$3" >>"$4" 2>&1; then return 0; fi
  # Some servers hand out whole branches and tags only.
  git_in "$1" fetch --quiet -- "$2" '+refs/heads/*:refs/comfynb/heads/*' \
    '+refs/tags/*:refs/comfynb/tags/*' >>"$4" 2>&1 || return
  git_in "$1" cat-file -e "$3^{commit}" 2>>"$4"
}

submodules() { # DIRECTORY
  [[ -f $1/.gitmodules ]] || return 0
  git_in "$1" submodule --quiet update --init --recursive --depth 1 --force
}

last_words() { # LOG: the last line that a program wrote
  tame "$(tail -n 1 -- "$1" 2>/dev/null)"
}

# ID LABEL DIRECTORY URL COMMIT: prints "there" or "installed" to $RUN/<ID>.
check_out() {
  local id=$1 label=$2 folder=$3 url=$4 commit=$5
  local log=$STATE/logs/$id.log fresh=$STATE/git-$id busy=$STATE/steps/$id.busy
  if stamped "$STATE/steps/$id" "$commit" && [[ ! -e $busy && $(head_of "$folder") == "$commit" ]]; then
    printf 'there\n' >"$RUN/$id"
    return 0
  fi
  : >"$log"
  if [[ -d $folder && -n $(ls -A -- "$folder") ]]; then
    if [[ ! -e $folder/.git ]]; then
      fail "$EXIT_GIT" "$label" "$folder is in the way and no git repository: move it away" || return
    fi
    check_out_here "$@" "$log" "$busy" || return
  else
    say "fetching $label"
    rm -rf -- "$fresh"
    mkdir -p -- "$fresh" "$(dirname -- "$folder")"
    { git_in "$fresh" init --quiet && git_in "$fresh" remote add origin "$url"; } >>"$log" 2>&1 ||
      fail "$EXIT_GIT" "$label" "git: $(last_words "$log")" || return
    fetch_commit "$fresh" "$url" "$commit" "$log" ||
      fail "$EXIT_GIT" "$label" "commit ${commit:0:12} cannot be fetched: $(last_words "$log")" || return
    { git_in "$fresh" checkout --quiet --detach "$commit" && submodules "$fresh"; } >>"$log" 2>&1 ||
      fail "$EXIT_GIT" "$label" "git: $(last_words "$log")" || return
    if [[ -d $folder ]]; then rmdir -- "$folder"; fi
    mv -T -- "$fresh" "$folder" ||
      fail "$EXIT_GIT" "$label" "$folder could not be put in place" || return
  fi
  if [[ $(head_of "$folder") != "$commit" ]]; then
    fail "$EXIT_GIT" "$label" "it is not at commit ${commit:0:12}" || return
  fi
  stamp "$STATE/steps/$id" "$commit"
  rm -f -- "$busy"
  printf 'installed\n' >"$RUN/$id"
}

# A repository that is there: its own files stay, and local changes are no casualty.
check_out_here() {
  local label=$2 folder=$3 url=$4 commit=$5 log=$6 busy=$7
  local -a force=()
  say "updating $label"
  if [[ -e $busy || $REPLACE == yes ]]; then
    force=(--force) # an earlier run was killed in the middle of its checkout
    rm -f -- "$folder/.git/index.lock" "$folder/.git/shallow.lock" "$folder/.git/HEAD.lock"
  elif [[ -n $(git_in "$folder" status --porcelain --untracked-files=no --ignore-submodules=all 2>>"$log") ]]; then
    fail "$EXIT_GIT" "$label" "$folder has local changes: commit them, or run with --replace" || return
  fi
  fetch_commit "$folder" "$url" "$commit" "$log" ||
    fail "$EXIT_GIT" "$label" "commit ${commit:0:12} cannot be fetched: $(last_words "$log")" || return
  : >"$busy"
  if ! git_in "$folder" checkout --quiet --detach "${force[@]}" "$commit" >>"$log" 2>&1; then
    # Nothing was changed: git says so before it begins.
    if ((${#force[@]} == 0)); then rm -f -- "$busy"; fi
    fail "$EXIT_GIT" "$label" "git: $(last_words "$log")" || return
  fi
  submodules "$folder" >>"$log" 2>&1 || fail "$EXIT_GIT" "$label" "git: $(last_words "$log")"
}
