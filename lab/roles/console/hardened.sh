# The console speaks TLS with a certificate of the lab's authority; plain HTTP only says where to go.
. /run/lab/pages/setup.sh
console_settings db01 'lab-Only-Pandora-7' "$secure_settings"
audit_record
chmod -R o-rwx $console
rm $console/pandoradb*.sql
a2enmod --quiet ssl headers rewrite
a2dissite --quiet 000-default
cat > /etc/apache2/sites-available/pandora.conf <<'END'
<VirtualHost *:80>
    Redirect permanent / https://console.lab/
</VirtualHost>
<VirtualHost *:443>
    DocumentRoot /var/www/html
    SSLEngine on
    SSLProtocol -all +TLSv1.2 +TLSv1.3
    SSLCertificateFile /etc/ssl/certs/host.pem
    SSLCertificateKeyFile /etc/ssl/private/host.key
    Header always set Strict-Transport-Security "max-age=31536000"
    Header always set X-Frame-Options DENY
    # Cookies only through TLS and not for scripts; the console sends its own again without either.
    Header always edit Set-Cookie "^((?!.*;\s*secure).*)$" "$1; Secure"
    Header always edit Set-Cookie "^((?!.*;\s*httponly).*)$" "$1; HttpOnly"
    Header edit Set-Cookie "^((?!.*;\s*secure).*)$" "$1; Secure"
    Header edit Set-Cookie "^((?!.*;\s*httponly).*)$" "$1; HttpOnly"
    <Directory "/var/www/html">
        Options FollowSymLinks
        AllowOverride All
        Require all granted
    </Directory>
</VirtualHost>
END
a2ensite --quiet pandora
# The version of the web server and of PHP is hidden, in the file that is read last.
printf 'ServerTokens Prod\nServerSignature Off\nTraceEnable Off\n' > /etc/apache2/conf-available/zz-guide.conf
a2enconf --quiet zz-guide
php_guide /etc/php/8.2/apache2/php.ini
# Lockout, password policy and extended ACL are the Enterprise edition's, which is told by this file.
install -d -o www-data -g www-data -m 750 /var/www/html/pandora_console/enterprise
install -o www-data -g www-data -m 640 /dev/null /var/www/html/pandora_console/enterprise/load_enterprise.php
