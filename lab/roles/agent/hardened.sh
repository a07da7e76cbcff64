# EndPoint: sends through TLS to whom it verifies, takes no configuration, keeps its files and its data to root, and
# watches the logs, the packages and the processes.
conf=/etc/pandorafms/pandora_agent.conf
mkdir -p -m 700 /var/spool/pandorafms/temporal
sed -i -e 's/^remote_config.*/remote_config 0/' -e 's/^server_ip.*/server_ip pandora01/' \
    -e 's#^temporal .*#temporal /var/spool/pandorafms/temporal#' "$conf"
cat >> "$conf" <<'END'
server_opts -e /etc/ssl/certs/host.pem -k /etc/ssl/private/host.key -f /usr/local/share/ca-certificates/lab.crt
server_pwd lab-Only-Tentacle-5
module_plugin inventory 1 software process
module_plugin grep_log /var/log/syslog Syslog .*
module_plugin grep_log /var/log/auth.log Secure .*
END
chmod 600 "$conf"
