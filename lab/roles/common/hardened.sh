# Firewall: nothing enters but sshd and the ports of the role.
cat > /etc/nftables.conf <<END
#!/usr/sbin/nft -f
flush ruleset
table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        iif lo accept
        meta l4proto { icmp, ipv6-icmp } accept
        tcp dport { $LAB_PORTS } accept
    }
}
END
systemctl --quiet enable nftables
# Time: from the deployment's own server, which lab.deployment names; alone, a host is its own reference.
rm -f /etc/chrony/sources.d/*
sed -i '/^pool /d' /etc/chrony/chrony.conf
echo 'local stratum 10' > /etc/chrony/conf.d/lab.conf
# Access audit: the security log leaves the host, through TLS.
cat > /etc/rsyslog.d/60-central.conf <<'END'
global(DefaultNetstreamDriverCAFile="/usr/local/share/ca-certificates/lab.crt")
authpriv.*  action(type="omfwd" target="10.99.0.1" port="6514" protocol="tcp"
                   StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name"
                   StreamDriverPermittedPeers="logs.lab"
                   action.resumeRetryCount="-1" action.resumeInterval="600" queue.type="LinkedList")
END
# Superuser access: what sudo does is written down apart.
echo 'Defaults logfile=/var/log/sudo.log' > /etc/sudoers.d/00-log
chmod 440 /etc/sudoers.d/00-log
