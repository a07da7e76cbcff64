# EndPoint: it verifies whom it sends to, takes no configuration from there, and keeps its data to itself.
mkdir -p -m 700 /var/spool/pandora/temporal
sed -i -e 's/^server_ip .*/server_ip pandora01/' -e 's#^temporal .*#temporal /var/spool/pandora/temporal#' \
    -e 's/^#module_plugin inventory.*/module_plugin inventory 1 software process/' /etc/pandora/pandora_agent.conf
cat >> /etc/pandora/pandora_agent.conf <<'END'
server_opts -e /etc/ssl/certs/host.pem -k /etc/ssl/private/host.key -f /usr/local/share/ca-certificates/lab.crt
server_pwd lab-Only-Tentacle-5
group_password lab-Only-Group-3
agent_mode no-learn
module_plugin grep_log_module /var/log/syslog Syslog .*
module_plugin grep_log_module /var/log/auth.log Secure .*
module_plugin pandora_security_check
END
