set -eu
. /run/lab/pages/setup.sh
lay_out_console
# A name of its own keeps apache from asking for one.
echo 'ServerName console.lab' > /etc/apache2/conf-available/name.conf
a2enconf --quiet name
