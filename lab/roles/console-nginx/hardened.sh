# TLS only, no version, and what .htaccess says to apache said to nginx.
. /run/lab/pages/setup.sh
console_settings db01 'lab-Only-Pandora-7' "$secure_settings"
audit_record
chmod -R o-rwx $console
rm $console/pandoradb*.sql
cat > /etc/nginx/sites-enabled/pandora <<'END'
server_tokens off;
server {
    listen 80 default_server;
    return 301 https://$host$request_uri;
}
server {
    listen 443 ssl default_server;
    ssl_certificate /etc/ssl/certs/host.pem;
    ssl_certificate_key /etc/ssl/private/host.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    add_header Strict-Transport-Security "max-age=31536000" always;
    root /var/www/html;
    index index.php;
    location ~ ^/pandora_console/(log|attachment)/ { deny all; }
    location ~ /\.ht { deny all; }
    location ~ \.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_pass unix:/run/php/php8.2-fpm.sock;
    }
}
END
php_guide /etc/php/8.2/fpm/php.ini
