#!/usr/bin/env bash
# Installs what the tests and the demo run beside tandemd: Debian packages, by apt-get when root;
# otherwise says what is missing and how to install it.
set -eu
cd "$(dirname "$0")/.."

declare -A package_of=(
  [haproxy]=haproxy [keepalived]=keepalived [nginx]=nginx [curl]=curl [socat]=socat [wrk]=wrk
  [h2load]=nghttp2-client [tcpdump]=tcpdump [chromium]=chromium [ip]=iproute2 [nsenter]=util-linux
  [systemd-nspawn]=systemd-container [openssl]=openssl [arping]=iputils-arping [ping]=iputils-ping
  [tmux]=tmux [nft]=nftables [killall]=psmisc [pgrep]=procps [cc]=build-essential [setpriv]=util-linux [python3]=python3
  [dbus-daemon]=dbus [busctl]=systemd [qemu-system-x86_64]=qemu-system-x86 [busybox]=busybox-static
)
if [ "${1:-all}" = bench ]; then
  wanted=(haproxy nginx wrk h2load openssl cc)
elif [ "${1:-all}" = demo ]; then
  wanted=(ip nsenter cc)
else
  wanted=("${!package_of[@]}")
fi

PATH="$PATH:/usr/sbin:/sbin"
missing=()
for tool in "${wanted[@]}"; do
  command -v "$tool" >/dev/null 2>&1 || missing+=("${package_of[$tool]}")
done
# nginx relays TCP by a module that is a package of its own; only the benchmark needs it.
if [ "${1:-all}" = bench ] && [ ! -e /usr/lib/nginx/modules/ngx_stream_module.so ]; then
  missing+=(libnginx-mod-stream)
fi
fetch_kernel() {
  [ "${1:-all}" != all ] || scripts/fetch-test-kernel.sh
}
if [ ${#missing[@]} -eq 0 ]; then
  fetch_kernel "$@"
  exit 0
fi
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

if [ "$(id -u)" -ne 0 ]; then
  echo "These Debian packages are missing; tests that need them will be skipped:" >&2
  echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  fetch_kernel "$@"
  exit 0
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Packages must not start daemons of their own on this machine while they are installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -q >/dev/null
apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fetch_kernel "$@"
