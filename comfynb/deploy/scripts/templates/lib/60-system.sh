# Debian packages. A container forgets them; the files stay in the state folder, if it is a volume.

APT_PACKAGES=()

lock_package() { # NAME VERSION
  APT_PACKAGES+=("$1${2:+=$2}")
}

missing_packages() { # one a line
  local package status name version
  local -A have=()
  # One call for all: it reads what Debian knows of every package.
  # shellcheck disable=SC2016 # dpkg-query fills these in
  while IFS=$'\t' read -r status name version; do
    if [[ $status == installed ]]; then have[$name]=$version; fi
  done < <(dpkg-query --show --showformat='${db:Status-Status}\t${Package}\t${Version}\n' \
    "${APT_PACKAGES[@]%%=*}" 2>/dev/null || true)
  for package in "${APT_PACKAGES[@]}"; do
    version=${have[${package%%=*}]:-}
    if [[ -z $version || ($package == *=* && $version != "${package#*=}") ]]; then
      printf '%s\n' "$package"
    fi
  done
}

apt_get() {
  # sudo hands no variables on, so they are set behind it.
  local -a command=(env DEBIAN_FRONTEND=noninteractive apt-get)
  if ((EUID != 0)); then command=(sudo -n "${command[@]}"); fi
  "${command[@]}" -o "Dir::Cache::archives=$STATE/apt/archives" \
    -o "Dir::State::lists=$STATE/apt/lists" -o APT::Keep-Downloaded-Packages=true \
    -o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$STATE/logs/apt.log" 2>&1
}

step_packages() {
  local -a missing
  ((${#APT_PACKAGES[@]} > 0)) || return 0
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
    fail "$EXIT_SYSTEM" 'system packages' "this is no Debian; install by hand: ${APT_PACKAGES[*]}" || return
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    printf 'there\n' >"$RUN/packages"
    return 0
  fi
  say "installing system packages: ${missing[*]}"
  mkdir -p -- "$STATE/apt/archives/partial" "$STATE/apt/lists/partial"
  : >"$STATE/logs/apt.log"
  # What an earlier run has fetched is enough, or else all is fetched anew.
  apt_get install --yes --no-install-recommends --no-download -- "${missing[@]}" ||
    { apt_get update && apt_get install --yes --no-install-recommends -- "${missing[@]}"; } ||
    fail "$EXIT_SYSTEM" 'system packages' "apt-get: $(last_words "$STATE/logs/apt.log")" || return
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} > 0)); then
    fail "$EXIT_SYSTEM" 'system packages' "not installed: ${missing[*]}" || return
  fi
  if [[ $TARGET == docker ]]; then rm -rf -- "$STATE/apt"; fi
  printf 'installed\n' >"$RUN/packages"
}
