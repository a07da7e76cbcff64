set -eu
# What `apt-get update` would have brought today from a mirror where nothing is newer than what is installed.
installed=$(for field in Package Version Architecture Multi-Arch Source Installed-Size Pre-Depends Depends Conflicts \
    Breaks Replaces Provides; do printf '%s: ${%s}\\n' "$field" "$field"; done)
archive() {
    list=/var/lib/apt/lists/packages.invalid_$1_dists_$2
    packages=${list}_main_binary-amd64_Packages
    dpkg-query -W -f "${installed}Maintainer: Lab\nFilename: x.deb\nSize: 1\nSHA256: 0\nDescription: x\n\n" |
        sed '/^[A-Za-z-]*: $/d' > "$packages"
    cat > "${list}_InRelease" <<END
Origin: Debian
Label: $3
Suite: $4
Codename: $2
Architectures: amd64 all
Components: main
Date: $(date -uR | sed 's/+0000/UTC/')
SHA256:
 $(sha256sum < "$packages" | cut -d' ' -f1) $(stat -c %s "$packages") main/binary-amd64/Packages
END
}
. /etc/os-release
archive debian "$VERSION_CODENAME" Debian stable
archive debian-security "$VERSION_CODENAME-security" Debian-Security stable-security
