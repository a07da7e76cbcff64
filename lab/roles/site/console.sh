set -eu
# The console's audit log leaves the machine line by line, through TLS, as the security log does.
cat > /etc/rsyslog.d/61-console.conf <<'END'
module(load="imfile")
input(type="imfile" file="/var/www/html/pandora_console/log/audit.log" tag="pandora-console" facility="local6")
local6.*  action(type="omfwd" target="10.99.0.1" port="6514" protocol="tcp"
                 StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name"
                 StreamDriverPermittedPeers="logs.lab"
                 action.resumeRetryCount="-1" action.resumeInterval="600" queue.type="LinkedList")
END
systemctl restart rsyslog
