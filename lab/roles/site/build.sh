set -eu
# The distribution's updates have an archive of their own.
. /etc/os-release
echo "deb http://packages.invalid/debian-security $VERSION_CODENAME-security main" >> /etc/apt/sources.list
