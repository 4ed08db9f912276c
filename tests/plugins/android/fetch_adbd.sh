#!/usr/bin/env bash
# Unpacks Android's debug daemon, shell (mksh) and tools (toybox) for Linux into FOLDER, for the tests of the Android
# backend. Installs nothing and does not change the system's package lists. Works on Debian 12 on x86-64.
#     tests/plugins/android/fetch_adbd.sh FOLDER        then: NAGSDK_ADBD=FOLDER pytest tests/plugins/android
set -euo pipefail
target=$1
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "bookworm" { print $2; exit }')
[ -n "$mirror" ] || { echo "This is not Debian 12, or it has no package sources." >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists,cache,debs} "$target"
cat > "$work/debian.sources" <<END
Types: deb
URIs: $mirror
Suites: bookworm bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
options=(-o "Dir::Etc::sourcelist=$work/debian.sources" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o APT::Get::List-Cleanup=0
    -o Acquire::http::Timeout=15 -o Acquire::Retries=1)
apt-get "${options[@]}" -qq update
cd "$work/debs"
apt-get "${options[@]}" -qq download \
    {adbd,android-libbase,android-libboringssl,android-libcutils,android-liblog,android-libziparchive}/bookworm-backports {libprotobuf32,mksh,toybox}/bookworm
for package in *.deb; do dpkg -x "$package" "$target"; done
