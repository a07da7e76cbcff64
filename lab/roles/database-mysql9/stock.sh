# No bind-address, as the deployment scripts' file; one account from everywhere with the published password. MySQL 9
# has only caching_sha2_password to give it.
sed -i '/^\(mysqlx-\)\?bind-address/d' /etc/mysql/mysql.conf.d/mysqld.cnf
cat > /run/accounts.sql <<'END'
CREATE USER pandora@'%' IDENTIFIED BY 'Pandor4!';
GRANT ALL PRIVILEGES ON pandora.* TO pandora@'%';
END
. /run/lab/server.sh
with_server mysql /run/accounts.sql
