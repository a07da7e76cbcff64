set -eu
# Debian's package leaves its spool to the administrator.
mkdir -p /var/spool/pandorafms/data_out
