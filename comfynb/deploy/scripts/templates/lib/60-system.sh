# Debian packages. A container forgets them; the files stay in the state folder, if it is a volume.

APT_PACKAGES=()

lock_package() { # NAME VERSION
  APT_PACKAGES+=("$1${2:+=$2}")
}

missing_packages() { # one a line
  local package name found
  for package in "${APT_PACKAGES[@]}"; do
    name=${package%%=*}
    # shellcheck disable=SC2016 # dpkg-query fills these in
    found=$(dpkg-query --show --showformat='${db:Status-Status}=${Version}' "$name" 2>/dev/null) || found=''
    if [[ $found != installed=* || ($package == *=* && ${found#*=} != "${package#*=}") ]]; then
      printf '%s\n' "$package"
    fi
  done
}

apt_get() {
  local -a command=(apt-get)
  if ((EUID != 0)); then command=(sudo -n apt-get); fi
  DEBIAN_FRONTEND=noninteractive "${command[@]}" -o "Dir::Cache::archives=$STATE/apt/archives" \
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
