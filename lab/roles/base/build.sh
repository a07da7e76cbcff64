# Every host of the lab: keys, people, and no units that a container cannot run.
# From outside: LAB_KEY (the public half of the key), LAB_SUITE; in /run/lab, the files that the layer reads.
set -eu
ssh-keygen -A

# Units that a container cannot run, and timers that would do work of their own in the middle of a test.
for unit in getty@.service console-getty.service serial-getty@.service container-getty@.service \
    systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service systemd-networkd.service systemd-networkd.socket \
    systemd-resolved.service dev-hugepages.mount sys-fs-fuse-connections.mount sys-kernel-debug.mount \
    sys-kernel-tracing.mount modprobe@.service; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
ln -sf /usr/lib/systemd/system/multi-user.target /etc/systemd/system/default.target
rm -f /etc/resolv.conf /etc/hostname /etc/hosts
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id

# name login-shell
person() {
    useradd -m -s "$2" "$1"
    mkdir -m 700 "/home/$1/.ssh"
    printf '%s\n' "$LAB_KEY" > "/home/$1/.ssh/authorized_keys"
    chmod 600 "/home/$1/.ssh/authorized_keys"
    chown -R "$1:$1" "/home/$1/.ssh"
}
# Those with a right of their own get it below.
person audit /bin/bash
person nosudo /bin/bash
person pwsudo /bin/bash
person least /bin/bash
person fishy /usr/bin/fish
person cshy /bin/tcsh
person bcshy /bin/bsd-csh
person noisy /bin/bash
person nologin /usr/sbin/nologin
for user in audit fishy cshy bcshy noisy; do
    printf '%s ALL=(ALL:ALL) NOPASSWD: ALL\n' "$user" > "/etc/sudoers.d/$user"
    chmod 440 "/etc/sudoers.d/$user"
done
usermod -aG sudo pwsudo
printf 'pwsudo:lab-pw-sudo\n' | chpasswd
{
    printf '%s\n' 'echo "Welcome to $(hostname), have a nice day"' 'echo "bashrc: warning: noise" >&2'
    cat /home/noisy/.bashrc
} > /tmp/bashrc
cat /tmp/bashrc > /home/noisy/.bashrc
rm /tmp/bashrc

# The lab's own authority, and the key for which it certifies a host's name at the boot.
cp /run/lab/ca.pem /usr/local/share/ca-certificates/lab.crt
update-ca-certificates >/dev/null 2>&1
install -m 600 /run/lab/host.key /etc/ssl/private/host.key

# Packages come from where the machine that builds takes them; that is nothing for the image to tell.
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/99mmdebstrap
printf 'deb http://packages.invalid/debian %s main\n' "$LAB_SUITE" > /etc/apt/sources.list
rm -rf /var/lib/apt/lists/*
echo LANG=C.UTF-8 > /etc/default/locale
touch /etc/.updated /var/.updated
