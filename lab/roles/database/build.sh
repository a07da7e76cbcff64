set -eu
# Small files: every host copies them at its first write.
cat > /etc/mysql/mariadb.conf.d/90-lab.cnf <<'END'
[mysqld]
innodb_buffer_pool_size = 16M
innodb_log_file_size = 8M
END
. /run/lab/server.sh
echo 'CREATE DATABASE pandora CHARACTER SET utf8mb4;' > /run/create.sql
with_server mysql /run/create.sql
with_server pandora /run/lab/schema.sql
