# What consoles share, whatever serves them: the tree, its settings and modes.
console=/var/www/html/pandora_console

lay_out_console() {
    mkdir -p $console
    cp -R /run/lab/pages/. $console/
    rm $console/setup.sh
    for log in audit console cron; do : > $console/log/$log.log; done
    mkdir -p $console/extensions $console/attachment/collection
    chown -R www-data:www-data $console
    chmod -R u=rwX,g=rX,o=rX $console
}

# console_settings HOST PASSWORD [LINES]
console_settings() {
    cat > $console/include/config.php <<END
<?php
\$config["dbtype"] = "mysql";
\$config["dbname"]="pandora";
\$config["dbuser"]="pandora";
\$config["dbpass"]="$2";
\$config["dbhost"]="$1";
\$config["homedir"]="$console";
\$config["homeurl"]="/pandora_console";
$3
error_reporting(0);
\$ownDir = dirname(__FILE__) . '/';
include (\$ownDir . "config_process.php");
END
    chown www-data:www-data $console/include/config.php
    chmod 600 $console/include/config.php
}

secure_settings='$config["dbssl"]=1;
$config["dbsslcafile"]="/usr/local/share/ca-certificates/lab.crt";
$config["sslverifyservercert"]=1;
$config["encryption_passphrase"]="lab-Only-Cipher-4";'

# php_limits FILE: the vendor's limits.
php_limits() {
    sed -i -e 's/^max_input_time.*/max_input_time = -1/' -e 's/^max_execution_time.*/max_execution_time = 0/' \
        -e 's/^upload_max_filesize.*/upload_max_filesize = 800M/' -e 's/^memory_limit.*/memory_limit = 800M/' \
        -e 's/^post_max_size.*/post_max_size = 800M/' -e 's/^disable_functions/;disable_functions/' "$1"
}

php_guide() {
    sed -i -e 's/^;\?session.cookie_httponly.*/session.cookie_httponly = 1/' \
        -e 's/^;\?session.cookie_secure.*/session.cookie_secure = 1/' -e 's/^expose_php.*/expose_php = Off/' "$1"
}

# The newest record of the hardened database, as the console writes it to its file.
audit_record() {
    echo '2026-11-02 09:00:00 - aruiz - Logon - 192.0.2.50 - Logged in' >> $console/log/audit.log
}
