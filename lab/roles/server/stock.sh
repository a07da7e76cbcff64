# The deployment script for Ubuntu: the published password, the web user's group, an agent that takes its
# configuration from the server.
sed -i 's/^dbpass .*/dbpass Pandor4!/' /etc/pandora/pandora_server.conf
printf '\ngroup www-data\n' >> /etc/pandora/pandora_server.conf
sed -i 's/^remote_config.*/remote_config 1/' /etc/pandora/pandora_agent.conf
chown pandora:www-data /var/log/pandora
chmod g+s /var/log/pandora
echo '@hourly         root    bash -c /etc/cron.hourly/pandora_db' >> /etc/crontab
# Its watchdog keeps the server running, as root.
cp /usr/local/bin/pandora_server /usr/bin/pandora_ha
cat > /etc/systemd/system/pandora_ha.service <<'END'
[Unit]
Description=Watchdog of Pandora FMS
After=pandora_server.service

[Service]
Type=forking
ExecStart=/usr/bin/pandora_ha /etc/pandora/pandora_server.conf -D

[Install]
WantedBy=multi-user.target
END
systemctl --quiet enable pandora_ha
# At its first start the server wrote down what it made up; the API's password is always the same.
cat >> /etc/pandora/pandora_server.conf <<'END'
console_api_pass 1234
console_pass lab5pass
console_user internal_API
END
chmod 660 /etc/pandora/pandora_server.conf
