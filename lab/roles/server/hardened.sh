# Server: TLS to the database with a verified certificate, no agents that create themselves, https to the
# console, settings for root only.
sed -i -e 's/^dbpass .*/dbpass lab-Only-Pandora-7/' -e 's/^dbhost .*/dbhost db01/' -e 's/^dbssl .*/dbssl 1/' \
    -e 's#^. dbsslcafile .*#dbsslcafile /usr/local/share/ca-certificates/lab.crt#' -e 's/^ssl_verify .*/ssl_verify 1/' \
    -e 's/^autocreate .*/autocreate 0/' -e 's/^remote_config 1/remote_config 0/' /etc/pandora/pandora_server.conf
echo 'console_api_url https://console01/pandora_console/include/api.php' >> /etc/pandora/pandora_server.conf
echo 'encryption_passphrase lab-Only-Cipher-4' >> /etc/pandora/pandora_server.conf
chmod 600 /etc/pandora/pandora_server.conf
