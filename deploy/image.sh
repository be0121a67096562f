#!/usr/bin/env bash
# Build the image as root without a container engine: buildah, on a base of Debian packages.
#
#   deploy/image.sh [FOLDER]     # FOLDER keeps the base and the image's storage; default build/image
#
# Needs buildah and debootstrap (apt-get install --no-install-recommends buildah debootstrap).
# MIRROR is a mirror of Debian other than debootstrap's own, LOCK the packages to install: requirements.encoder.lock adds the text encoder.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-build/image}")
mkdir -p "$folder"
storage=(--root "$folder/storage" --runroot "$folder/run" --storage-driver vfs)

if [ ! -f "$folder/base.tar" ]; then
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder/base" ${MIRROR:+"$MIRROR"}
    tar -C "$folder/base" -cf "$folder/base.tar" --exclude '*.deb' --exclude './var/cache/apt/*.bin' --exclude './var/lib/apt/lists/*' \
        --exclude './usr/share/doc/*' --exclude './usr/share/man/*' --exclude './usr/share/locale/*' .
    rm -rf "$folder/base"
fi
if ! buildah "${storage[@]}" inspect --type image nearline-base >/dev/null 2>&1; then
    base=$(buildah "${storage[@]}" from scratch)
    buildah "${storage[@]}" add --quiet "$base" "$folder/base.tar" / >/dev/null
    buildah "${storage[@]}" commit --quiet --rm "$base" nearline-base >/dev/null
fi

# The settings of pip on this machine, such as a mirror, apply to the build and do not enter the image.
mounts=()
for path in /etc/pip.conf /etc/xdg/pip /etc/ssl/certs; do
    if [ -e "$path" ]; then mounts+=(--volume "$path:$path:ro"); fi
done
wheels=${WHEELS:-}  # a folder of wheels, for a build without a network
if [ -n "$wheels" ]; then mounts+=(--volume "$(realpath "$wheels"):/wheels:ro" --env PIP_FIND_LINKS=/wheels --env PIP_NO_INDEX=1); fi
buildah "${storage[@]}" bud --isolation chroot --pull-never --format docker --layers=false "${mounts[@]}" \
    --build-arg BASE=localhost/nearline-base --build-arg "LOCK=${LOCK:-requirements.runtime.lock}" \
    --tag nearline --file Dockerfile .
