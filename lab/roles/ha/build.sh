set -eu
# One address for several Tentacle servers: a balancer on port 41120, an address that moves (of the lab's network).
cat > /etc/haproxy/haproxy.cfg <<'END'
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen tentacle
    bind :41120
    server local 127.0.0.1:41121 check
END
cat > /etc/keepalived/keepalived.conf <<'END'
vrrp_instance tentacle {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    virtual_ipaddress {
        10.99.250.1/16
    }
}
END
# Or it finds nobody at its first check, and says four seconds later that somebody is there.
mkdir -p /etc/systemd/system/haproxy.service.d
printf '[Unit]\nAfter=tentacle_serverd.service\n' > /etc/systemd/system/haproxy.service.d/lab.conf
