# TLS, and nothing but TLS, from the lab's authority.
install -d -o mysql -g mysql -m 750 /etc/mysql/tls
chmod 750 /var/lib/mysql
install -o mysql -g mysql -m 400 /etc/ssl/private/host.key /etc/mysql/tls/server.key
cat > /etc/mysql/mariadb.conf.d/99-guide.cnf <<'END'
[mysqld]
bind-address = 0.0.0.0
ssl_cert = /etc/ssl/certs/host.pem
ssl_key = /etc/mysql/tls/server.key
ssl_ca = /usr/local/share/ca-certificates/lab.crt
tls_version = TLSv1.2,TLSv1.3
require_secure_transport = ON
local_infile = OFF
secure_file_priv = /var/lib/mysql-files
plugin_load_add = simple_password_check
simple_password_check_minimal_length = 12
END
install -d -o mysql -g mysql -m 750 /var/lib/mysql-files
# Accounts: of the product, from the deployment's network only, through TLS, for its own schema; root from here only.
cat > /run/accounts.sql <<'END'
ALTER USER root@localhost IDENTIFIED VIA unix_socket;
DELETE FROM global_priv WHERE User = '';
FLUSH PRIVILEGES;
CREATE USER pandora@'10.99.%' IDENTIFIED BY 'lab-Only-Pandora-7' REQUIRE SSL;
GRANT ALL PRIVILEGES ON pandora.* TO pandora@'10.99.%';
END
. /run/lab/server.sh
with_server mysql /run/accounts.sql
with_server pandora /run/lab/hardened.sql
