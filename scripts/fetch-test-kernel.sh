#!/usr/bin/env bash
# Fetches Debian's kernel for virtual machines, which the tests of VLANs, bonds and the like boot in QEMU. Nothing is installed: it is
# unpacked into a folder of the build's, and stays there.
set -eu
cd "$(dirname "$0")/.."
folder=${CARGO_TARGET_DIR:-target}/test-kernel
[ -d "$folder/boot" ] && exit 0
[ "$(uname -m)" = x86_64 ] || exit 0

# The package without a version depends on the one with the kernel.
newest() {
  apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: *\(linux-image-[^ ]*\)$/\1/p' | head -n 1
}
package=$(newest)
if [ -z "$package" ] && [ "$(id -u)" -eq 0 ]; then
  apt-get update -q >/dev/null || true
  package=$(newest)
fi
if [ -z "$package" ]; then
  echo "No kernel of Debian's for virtual machines is known to apt-get: tests that boot one will be skipped." >&2
  exit 0
fi
mkdir -p "$folder"
# A directory of its own: a download that broke off leaves nothing that looks whole.
new=$(mktemp -d "$folder/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
echo "fetching: $package"
if ! (cd "$new" && apt-get download -q -o APT::Sandbox::User="$(id -un)" "$package" >/dev/null); then
  echo "The kernel for virtual machines cannot be fetched: tests that boot one will be skipped." >&2
  exit 0
fi
dpkg-deb -x "$new"/*.deb "$new/tree"
rm -rf "$folder/lib"
mv "$new/tree/lib" "$folder/lib"
mv "$new/tree/boot" "$folder/boot"
