#!/usr/bin/env bash
# Install what tests need and pip cannot bring, Chromium and PostgreSQL, where it is missing and
# apt-get may do so. Where it may not, say why, and leave the reason in build/no-<name> for
# tests/conftest.py, which then skips those tests with it.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
rm -f build/no-chromium build/no-postgresql

chromium() {
    local name
    for name in "${COMFYNB_CHROMIUM:-chromium}" chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" && return
    done
    return 1
}

# Debian keeps the server's programs off the PATH.
postgresql() {
    command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb'
}

why_not() {
    if ! command -v apt-get >/dev/null; then
        echo "there is no apt-get to install it with"
    elif [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
        echo "apt-get needs root or sudo without a password"
    fi
}

apt() {
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >>build/apt.log 2>&1
}

updated=
provide() {
    local name=$1 path reason
    shift
    if ! path=$("$name"); then
        reason=$(why_not)
        if [ -z "$reason" ]; then
            echo "installing $name with apt-get"
            : >build/apt.log
            if ! { { [ -n "$updated" ] || apt update; } && apt -y --no-install-recommends install "$@"; }; then
                reason="apt-get could not install it: $(tail -n 1 build/apt.log)"
            fi
            updated=yes
        fi
        if [ -n "$reason" ] || ! path=$("$name"); then
            echo "no $name here: ${reason:-what apt-get installed is not found}" | tee "build/no-$name"
            return
        fi
    fi
    echo "$name: ${path%%$'\n'*}"
}

# A font, because a page without one is blank.
provide chromium chromium fonts-dejavu-core
provide postgresql postgresql
