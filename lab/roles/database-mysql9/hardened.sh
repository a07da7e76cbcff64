# TLS, and nothing but TLS, from the lab's authority; the X protocol is off.
install -d -o mysql -g mysql -m 750 /etc/mysql/tls
install -o mysql -g mysql -m 400 /etc/ssl/private/host.key /etc/mysql/tls/server.key
sed -i '/^\(mysqlx-\)\?bind-address/d' /etc/mysql/mysql.conf.d/mysqld.cnf
cat > /etc/mysql/mysql.conf.d/zz-guide.cnf <<'END'
[mysqld]
bind-address = 0.0.0.0
mysqlx = OFF
ssl_cert = /etc/ssl/certs/host.pem
ssl_key = /etc/mysql/tls/server.key
ssl_ca = /usr/local/share/ca-certificates/lab.crt
require_secure_transport = ON
local_infile = OFF
END
cat > /run/accounts.sql <<'END'
CREATE USER pandora@'10.99.%' IDENTIFIED WITH caching_sha2_password BY 'lab-Only-Pandora-7' REQUIRE SSL;
GRANT ALL PRIVILEGES ON pandora.* TO pandora@'10.99.%';
END
. /run/lab/server.sh
# The certificate of the file comes with the boot.
mv /etc/mysql/mysql.conf.d/zz-guide.cnf /run/
with_server mysql /run/accounts.sql
with_server pandora /run/lab/hardened.sql
mv /run/zz-guide.cnf /etc/mysql/mysql.conf.d/
