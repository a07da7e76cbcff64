# The deployment scripts append a banner to sshd's file, tell of the host in it, and make /etc/issue a link to it.
cat > /etc/issue.net <<'END'

Pandora FMS appliance
The web console is at http://192.0.2.10/pandora_console

END
ln -sf /etc/issue.net /etc/issue
echo 'Banner /etc/issue.net' >> /etc/ssh/sshd_config
# They tune the kernel's network, and leave no firewall running.
cat >> /etc/sysctl.conf <<'END'
net.ipv4.tcp_syn_retries = 3
net.ipv4.tcp_max_syn_backlog = 65536
net.core.somaxconn = 1024
END
