#!/usr/bin/env bash
# base-images.sh STORAGE-FLAGS...: makes what the Dockerfile is FROM out of Debian's packages and the npm
# package of Node, for machines that reach those, but no registry of images. The names are those of the
# Dockerfile, in the image store that the flags (buildah's) name.
set -euo pipefail
cd "$(dirname "$0")/../.."

SUITE=bookworm
WORK=$(mktemp -d /var/tmp/sallyport-base.XXXXXX)
trap 'rm -rf "$WORK"' EXIT

# The mirror that this machine is set up for: the first of its sources.
mirror=$(awk '$1 == "URIs:" { print $2; exit } $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }' \
  $(ls /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null))
include=
case $mirror in https:*) include=--include=ca-certificates ;; esac

debootstrap --variant=minbase $include "$SUITE" "$WORK/debian" "$mirror" > "$WORK/log" 2>&1 ||
  { tail -n 20 "$WORK/log"; exit 1; }
# Later steps (security updates, too) find packages as this machine does.
rm -f "$WORK/debian/etc/apt/sources.list"
cp -a /etc/apt/sources.list.d/*.sources "$WORK/debian/etc/apt/sources.list.d/" 2>/dev/null || true
[ -s /etc/apt/sources.list ] && cp /etc/apt/sources.list "$WORK/debian/etc/apt/sources.list"
cp -a /etc/apt/apt.conf.d/. "$WORK/debian/etc/apt/apt.conf.d/"
rm -rf "$WORK/debian/var/cache/apt/archives"/*.deb

# into_image FOLDER NAME
into_image() {
  local container
  container=$(buildah "${@:3}" from --pull-never scratch)
  buildah "${@:3}" add -q "$container" "$1" / > /dev/null
  buildah "${@:3}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah "${@:3}" commit -q --rm "$container" "$2" > /dev/null
  echo "$2"
}

into_image "$WORK/debian" docker.io/library/debian:bookworm-slim "$@"

# Node as its image has it: program and headers in /usr/local, and npm.
node=$(echo node_modules/node-linux-*)
cp -a "$node/bin" "$node/include" "$WORK/debian/usr/local/"
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
mkdir -p "$WORK/debian/usr/local/lib/node_modules"
cp -a "$npm" "$WORK/debian/usr/local/lib/node_modules/npm"
ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$WORK/debian/usr/local/bin/npm"
# The registry that this machine is set up for, and the authorities that it trusts.
{
  echo "registry=$(npm config get registry 2> /dev/null)"
  if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
    cp /etc/ssl/certs/ca-certificates.crt "$WORK/debian/usr/local/share/machine-ca.crt"
    echo cafile=/usr/local/share/machine-ca.crt
  fi
} > "$WORK/debian/root/.npmrc"
into_image "$WORK/debian" docker.io/library/node:26-bookworm-slim "$@"
