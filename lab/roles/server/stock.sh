# The deployment script for Ubuntu: the published password, the web user's group, an agent that takes its
# configuration from the server.
sed -i 's/^dbpass .*/dbpass Pandor4!/' /etc/pandora/pandora_server.conf
printf '\ngroup www-data\n' >> /etc/pandora/pandora_server.conf
sed -i 's/^remote_config.*/remote_config 1/' /etc/pandora/pandora_agent.conf
chown pandora:www-data /var/log/pandora
chmod g+s /var/log/pandora
echo '@hourly         root    bash -c /etc/cron.hourly/pandora_db' >> /etc/crontab
