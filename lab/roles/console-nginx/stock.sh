# As an administrator does who puts nginx before the vendor's tree and goes no further.
. /run/lab/pages/setup.sh
console_settings 127.0.0.1 'Pandor4!' ''
cat > /etc/nginx/sites-enabled/pandora <<'END'
server {
    listen 80 default_server;
    root /var/www/html;
    index index.php;
    location ~ \.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_pass unix:/run/php/php8.2-fpm.sock;
    }
}
END
php_limits /etc/php/8.2/fpm/php.ini
