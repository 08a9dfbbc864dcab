#!/bin/sh
# Installs Debian packages that are missing, given as package or package:command-it-brings;
# says what to do where it cannot.
set -u
missing=""
for wanted in "$@"; do
  package=${wanted%%:*} brought=${wanted#*:}
  [ "$brought" != "$wanted" ] && command -v "$brought" >/dev/null && continue
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "installing:$missing"
as_root=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "not root and no sudo; as root run: apt-get install$missing"; exit 1; }
  as_root="sudo"
fi
$as_root apt-get update -qq || { echo "apt-get update failed: is there a network?"; exit 1; }
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends $missing >/dev/null \
  || { echo "could not install:$missing"; exit 1; }
