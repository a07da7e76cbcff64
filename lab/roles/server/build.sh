set -eu
cat > /etc/pandora/pandora_server.conf <<'END'
# servername lab
incomingdir /var/spool/pandora/data_in
log_file /var/log/pandora/pandora_server.log
snmp_logfile /var/log/pandora/pandora_snmptrap.log
errorlog_file /var/log/pandora/pandora_server.error
dbengine mysql
dbname pandora
dbuser pandora
dbpass pandora
dbhost 127.0.0.1
# dbport 3306
dbssl 0
# dbsslcafile /path/to/ca-cert.pem
verbosity 3
master 1
snmpconsole 0
networkserver 1
dataserver 1
dataserver_smart_queue 1
discoveryserver 1
pluginserver 1
autocreate_group 10
autocreate_group_force 0
autocreate 1
max_log_size 1048576
max_queue_files 5000
restart 0
self_monitoring 1
update_parent 1
remote_config 1
remote_config_address localhost
tentacle_service_watchdog 1
verify_mysql_ssl_cert 1
ssl_verify 0
multiprocess 0
too_many_xml 10
END
chmod 770 /etc/pandora/pandora_server.conf
# The tarball's program lies elsewhere; who goes by the packages' path is led to it.
mv /usr/bin/pandora_server /usr/local/bin/
ln -s /usr/local/bin/pandora_server /usr/bin/pandora_server
mkdir /etc/pandora/conf.d
mkdir -p /usr/share/pandora_server/util/plugin
printf '#!/bin/sh\n# A stand-in.\nexit 0\n' > /etc/cron.hourly/pandora_db
chmod 750 /etc/cron.hourly/pandora_db
systemctl --quiet enable pandora_server
