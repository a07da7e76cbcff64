set -eu
# As the deployment script for Ubuntu and the tarball's installer leave it.
getent group www-data >/dev/null
useradd pandora
mkdir -p /home/pandora/.ssh /etc/tentacle
chown -R pandora:root /home/pandora
install -m 755 /run/lab/tentacle.py /usr/bin/tentacle_server
cat > /etc/tentacle/tentacle_server.conf <<'END'
addresses 0.0.0.0
port 41121
# max_connections 10
daemon 1
# insecure 0
filters .*\.conf:conf;.*\.md5:md5;.*\.zip:collections;.*\.lock:trans;.*\.rcmd:commands
# overwrite 0
# quiet 0
directory /var/spool/pandora/data_in
log_file /dev/null
# password PASSWORD
# ssl_cert /path/to/ssl/cert
# ssl_key /path/to/private/key
END
chmod 774 /etc/tentacle/tentacle_server.conf
mkdir -p /var/spool/pandora/data_in
for folder in conf md5 collections commands discovery netflow sflow trans; do
    mkdir /var/spool/pandora/data_in/$folder
done
chown -R pandora:www-data /var/spool/pandora/data_in
find /var/spool/pandora/data_in -type d -exec chmod 2770 {} +
chown pandora:www-data /var/spool/pandora
chmod 755 /var/spool/pandora
systemctl --quiet enable tentacle_serverd
