# with_server SCHEMA FILE: the statements of a file, run by a server that nobody else can see.
with_server() {
    mkdir -p /run/mysqld
    chown mysql:mysql /run/mysqld
    mariadbd --user=mysql --skip-networking --skip-ssl --socket=/run/mysqld/build.sock &
    for i in $(seq 300); do
        mariadb-admin --skip-ssl --socket=/run/mysqld/build.sock ping >/dev/null 2>&1 && break
        sleep 0.1
    done
    mariadb --skip-ssl --socket=/run/mysqld/build.sock "$1" < "$2"
    mariadb-admin --skip-ssl --socket=/run/mysqld/build.sock shutdown
    wait
}
