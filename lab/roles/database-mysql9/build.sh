set -eu
# Read after mysqld.cnf. Small files: every host copies them at its first write.
cat > /etc/mysql/mysql.conf.d/zz-lab.cnf <<'END'
[mysqld]
innodb_buffer_pool_size = 16M
innodb_redo_log_capacity = 8M
performance_schema_max_table_instances = 200
table_definition_cache = 400
END
. /run/lab/server.sh
echo 'CREATE DATABASE pandora CHARACTER SET utf8mb4;' > /run/create.sql
with_server mysql /run/create.sql
with_server pandora /run/lab/schema.sql
