set -eu
# The odd people of the bare images have nothing to do in a deployment.
for user in pwsudo least fishy cshy bcshy noisy nologin; do
    userdel --remove "$user" 2>/dev/null
    rm -f "/etc/sudoers.d/$user"
done
# chrony without the right to set the clock, and without names to resolve it from.
echo 'DAEMON_OPTS="-F 1 -x"' > /etc/default/chrony
mkdir -p /etc/systemd/system/chrony.service.d
printf '[Unit]\nConditionCapability=\n' > /etc/systemd/system/chrony.service.d/lab.conf
# A container has no kernel log.
sed -i '/imklog/d' /etc/rsyslog.conf
