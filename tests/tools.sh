#!/bin/sh
# The tests drive real shells, a real terminal and bubblewrap: install what is missing, or say what to install.
set -eu
tools="tmux zsh"
[ "$(uname)" != Linux ] || tools="$tools bwrap"
missing=
for tool in $tools; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -n "$missing" ] || exit 0
missing=$(echo "$missing" | sed 's/bwrap/bubblewrap/') # its package
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Install what the tests need:$missing" >&2
    exit 1
fi
apt-get update -q
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
