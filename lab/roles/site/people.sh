set -eu
# One person, with a key and a password of her own, and a token at every login; sudo asks for the password.
userdel --remove nosudo 2>/dev/null
useradd -m -s /bin/bash -G sudo aruiz
install -d -m 700 -o aruiz -g aruiz /home/aruiz/.ssh
echo "$KEY" > /home/aruiz/.ssh/authorized_keys
chown aruiz:aruiz /home/aruiz/.ssh/authorized_keys
chmod 600 /home/aruiz/.ssh/authorized_keys
echo "aruiz:$(openssl rand -base64 18)" | chpasswd
printf 'HOTP/T30/6\taruiz\t-\t%s\n' "$(openssl rand -hex 20)" > /etc/users.oath
chmod 600 /etc/users.oath
sed -i 's#^@include common-auth#auth required pam_oath.so usersfile=/etc/users.oath window=10\n&#' \
    /etc/pam.d/sshd /etc/pam.d/login
sed -i 's/^AllowGroups .*/AllowGroups audit sudo/' /etc/ssh/sshd_config.d/00-guide.conf
cat > /etc/ssh/sshd_config.d/01-people.conf <<'END'
PasswordAuthentication no
KbdInteractiveAuthentication yes
AuthenticationMethods publickey,keyboard-interactive
Match User audit
    AuthenticationMethods publickey
END
