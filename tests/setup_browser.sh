#!/usr/bin/env bash
# Install Chromium for the browser tests where it is missing and apt-get may do so. Where it may
# not, say why, and leave the reason for tests/conftest.py, which then skips those tests with it.
set -euo pipefail
cd "$(dirname "$0")/.."
reason=build/no-chromium
mkdir -p build
rm -f "$reason"

without() {
    echo "$1" | tee "$reason"
    exit 0
}

for name in "${COMFYNB_CHROMIUM:-chromium}" chromium-browser google-chrome google-chrome-stable; do
    if path=$(command -v "$name"); then
        echo "Chromium: $path"
        exit 0
    fi
done

command -v apt-get >/dev/null || without "no Chromium here, and no apt-get to install it with"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || without "no Chromium here, and apt-get needs root or sudo without a password"
    as_root=(sudo -n)
fi
echo "installing Chromium with apt-get"
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >>build/apt.log 2>&1
}
: >build/apt.log
# A font, because a page without one is blank.
if ! { apt update && apt -y --no-install-recommends install chromium fonts-dejavu-core; }; then
    without "no Chromium here, and apt-get could not install it: $(tail -n 1 build/apt.log)"
fi
echo "Chromium: $(command -v chromium)"
