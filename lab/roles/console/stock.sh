# The deployment script: the console as the web user's, its settings 0600, TLS with the snake oil of the distribution
# beside plain HTTP, the version hidden in a file that the distribution's own overrides.
. /run/lab/pages/setup.sh
console_settings 127.0.0.1 'Pandor4!' ''
a2enmod --quiet ssl headers
a2ensite --quiet default-ssl
cat > /etc/apache2/conf-enabled/pandora_security.conf <<'END'
ServerTokens Prod
<Directory "/var/www/html">
    Options FollowSymLinks
    AllowOverride All
    Require all granted
</Directory>
END
echo '<meta HTTP-EQUIV="REFRESH" content="0; url=/pandora_console/">' > /var/www/html/index.html
php_limits /etc/php/8.2/apache2/php.ini
fetch='wget -q -O - --no-check-certificate --load-cookies /tmp/cron-session-cookies --save-cookies /tmp/cron-session-cookies'
for twice in 1 2; do
    echo "* * * * * root $fetch --keep-session-cookies http://127.0.0.1/pandora_console/cron.php >> $console/log/cron.log"
done >> /etc/crontab
