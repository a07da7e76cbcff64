set -eu
systemctl --quiet disable firewalld ufw
