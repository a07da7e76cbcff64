set -eu
. /run/lab/pages/setup.sh
lay_out_console
rm -f /etc/nginx/sites-enabled/default
