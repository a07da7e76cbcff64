# SSH server: another port, no root, no forwarding, no tunnels, a banner; and who may enter is a list.
cat > /etc/ssh/sshd_config.d/00-guide.conf <<'END'
Port 31122
PermitRootLogin no
AllowTcpForwarding no
PermitTunnel no
Banner /etc/issue.net
AllowGroups audit nosudo pwsudo least fishy cshy bcshy noisy nologin
END
echo 'Private system. Entries are logged.' > /etc/issue.net
# Superuser access by sudo only: nobody knows a password of root.
passwd --quiet --lock root
