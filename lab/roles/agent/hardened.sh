# EndPoint: sends through TLS, takes no configuration, keeps its files to root.
conf=/etc/pandorafms/pandora_agent.conf
sed -i -e 's/^remote_config.*/remote_config 0/' -e 's/^server_ip.*/server_ip pandora01/' "$conf"
printf 'server_ssl yes\nserver_pwd lab-Only-Tentacle-5\n' >> "$conf"
chmod 600 "$conf"
