#!/usr/bin/env bash
# Unpacks into FOLDER what runs .tflite files by the kernels for 64-bit ARM on this computer: qemu, Debian's Python for
# ARM and LiteRT's wheel for it. Installs nothing and does not change the system's package lists. Works on Debian 12.
#     tests/plugins/android/fetch_arm.sh FOLDER        then: NAGSDK_ARM=FOLDER pytest -m nightly tests/plugins/android
set -euo pipefail
target=$(mkdir -p "$1" && cd "$1" && pwd)
constraints=$(cd "$(dirname "$0")/../../.." && pwd)/constraints.txt
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "bookworm" { print $2; exit }')
[ -n "$mirror" ] || { echo "This is not Debian 12, or it has no package sources." >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists,cache,debs,wheels} "$target"/{host,root,site}
cat > "$work/debian.sources" <<END
Types: deb
URIs: $mirror
Suites: bookworm
Components: main
Architectures: arm64 amd64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
options=(-o "Dir::Etc::sourcelist=$work/debian.sources" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/lists"
    -o Dir::State::status=/dev/null -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o APT::Get::List-Cleanup=0
    -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Architectures::=amd64
    -o Acquire::http::Timeout=15 -o Acquire::Retries=1)
apt-get "${options[@]}" -qq update
cd "$work/debs"
apt-get "${options[@]}" -qq download qemu-user-static:amd64 \
    {libc6,libstdc++6,libgcc-s1,python3.11-minimal,libpython3.11-minimal,libpython3.11-stdlib,zlib1g,libexpat1,libssl3}:arm64 \
    {libffi8,libbz2-1.0,liblzma5,libcrypt1,libuuid1}:arm64
for package in *_arm64.deb; do dpkg -x "$package" "$target/root"; done
dpkg-deb --fsys-tarfile qemu-user-static*.deb | tar -x -C "$target/host" ./usr/bin/qemu-aarch64-static
# qemu shows this file in place of the computer's own, which describes another processor and makes LiteRT crash.
mkdir -p "$target/root/proc"
printf 'processor\t: 0\nBogoMIPS\t: 100.00\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n' > "$target/root/proc/cpuinfo"
cd "$work/wheels"
python3 -m pip download --quiet --no-deps --only-binary=:all: --constraint "$constraints" --python-version 3.11 --implementation cp \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    ai-edge-litert numpy flatbuffers typing-extensions
for wheel in *.whl; do python3 -m zipfile -e "$wheel" "$target/site"; done
