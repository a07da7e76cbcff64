# with_server SCHEMA FILE: the statements of a file, run by a server that nobody else can see.
with_server() {
    mkdir -p /run/mysqld
    chown mysql:mysql /run/mysqld
    mysqld --user=mysql --skip-networking --mysqlx=OFF --socket=/run/mysqld/build.sock &
    for i in $(seq 600); do
        mysqladmin --socket=/run/mysqld/build.sock ping >/dev/null 2>&1 && break
        sleep 0.1
    done
    mysql --socket=/run/mysqld/build.sock "$1" < "$2"
    mysqladmin --socket=/run/mysqld/build.sock shutdown
    wait
}
