# Red Hat 8 says so itself; later ones leave it to the default.
echo 'PermitRootLogin yes' >> /etc/ssh/sshd_config
