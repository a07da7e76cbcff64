# The deployment scripts replace my.cnf: no bind-address, no includes, an empty sql_mode.
cat > /etc/mysql/mariadb.cnf <<'END'
[mysqld]
datadir=/var/lib/mysql
user=mysql
character-set-server=utf8mb4
max_allowed_packet = 64M
innodb_buffer_pool_size = 16M
innodb_log_file_size = 8M
innodb_flush_log_at_trx_commit = 0
max_connections = 100
skip-log-bin
sql_mode=""
socket=/run/mysqld/mysqld.sock
pid-file=/run/mysqld/mysqld.pid
END
# One account from everywhere with all of the schema, and the published default password for both.
cat > /run/accounts.sql <<'END'
ALTER USER root@localhost IDENTIFIED VIA mysql_native_password USING PASSWORD('Pandor4!') OR unix_socket;
CREATE USER pandora@'%' IDENTIFIED BY 'Pandor4!';
GRANT ALL PRIVILEGES ON pandora.* TO pandora@'%';
END
. /run/lab/server.sh
with_server mysql /run/accounts.sql
