# Tentacle: TLS with certificates at both ends, a password, a log; the settings are for root and the daemon only.
install -o pandora -g pandora -m 400 /etc/ssl/private/host.key /etc/tentacle/tentacle.key
sed -i 's#^log_file .*#log_file /var/log/pandora/tentacle.log#' /etc/tentacle/tentacle_server.conf
cat >> /etc/tentacle/tentacle_server.conf <<'END'
verbose 1
password lab-Only-Tentacle-5
ssl_cert /etc/ssl/certs/host.pem
ssl_key /etc/tentacle/tentacle.key
ssl_ca /usr/local/share/ca-certificates/lab.crt
END
chown root:pandora /etc/tentacle/tentacle_server.conf
chmod 640 /etc/tentacle/tentacle_server.conf
chown pandora:www-data /var/log/pandora
chmod 2770 /var/log/pandora
install -o pandora -g www-data -m 640 /dev/null /var/log/pandora/tentacle.log
# Application accounts have no shell.
usermod --shell /usr/sbin/nologin pandora
# Only machines of the lab have agents.
sed -i -e 's/, 41121\b//' -e '/tcp dport {/i\        ip saddr 10.99.0.0/16 tcp dport 41121 accept' /etc/nftables.conf
