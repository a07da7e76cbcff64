# A host that looks like Red Hat's 9.4 to who asks it: real rpm and dnf over packages of the lab's own.
set -eu
mkdir -p /etc/rpm
echo '%_dbpath /var/lib/rpm' > /etc/rpm/macros.lab
rpm --initdb
cd /run

# rpm_of NAME VERSION RELEASE [LINES]: an own package, with what lines of a spec there are more.
rpm_of() {
    cat > "$1.spec" <<END
Name: $1
Version: $2
Release: $3
Summary: Stand-in for $1
License: Apache-2.0
Vendor: Lab
AutoReqProv: no
${4:-}
%description
Stand-in for $1.
%files
${5:-}
%changelog
* Mon Jan 05 2026 Lab <lab@lab.example> - $2-$3
- Built for the lab
END
    rpmbuild --quiet --nodeps -bb --target x86_64 --define "_topdir /run/rpms" --define '_build_id_links none' \
        --define 'debug_package %{nil}' --define '__os_install_post %{nil}' "$1.spec"
}
rpm_of redhat-release 9.4 0.5.el9 'Provides: system-release = 9.4
%install
mkdir -p %{buildroot}/etc
echo "Red Hat Enterprise Linux release 9.4 (Plow)" > %{buildroot}/etc/redhat-release' /etc/redhat-release
rpm_of openssl 3.0.7 24.el9
rpm_of openssh-server 8.7p1 38.el9
rpm_of httpd 2.4.57 8.el9 '%install
mkdir -p %{buildroot}/etc/httpd/conf.d
echo "# empty" > %{buildroot}/etc/httpd/conf.d/lab.conf' '%config(noreplace) /etc/httpd/conf.d/lab.conf'
rpm_of sudo 1.9.5p2 10.el9
rpm_of pandorafms_agent_linux 7.0NG.776 240328
rpm -ivh --nodeps --force-debian rpms/RPMS/x86_64/*.rpm > /dev/null

# A repository with one security update.
rm -r rpms/RPMS
rpm_of openssl 3.0.7 27.el9_4
mkdir -p /srv/repo/updates
cp rpms/RPMS/x86_64/openssl-*.rpm /srv/repo/updates/
createrepo_c -q /srv/repo/updates
cat > updateinfo.xml <<'END'
<updates><update from="lab@lab.example" status="final" type="security" version="1"><id>RHSA-2026:1001</id>
<title>Important: openssl security update</title><severity>Important</severity><issued date="2026-01-05 00:00:00"/>
<updated date="2026-01-05 00:00:00"/><release>9</release>
<references><reference href="https://lab.example/CVE-2026-0001" id="CVE-2026-0001" type="cve" title="CVE-2026-0001"/>
</references><pkglist><collection short="updates"><name>updates</name>
<package name="openssl" version="3.0.7" release="27.el9_4" epoch="0" arch="x86_64" src="openssl-3.0.7-27.el9_4.src.rpm">
<filename>openssl-3.0.7-27.el9_4.x86_64.rpm</filename></package></collection></pkglist></update></updates>
END
modifyrepo_c updateinfo.xml /srv/repo/updates/repodata > /dev/null
mkdir -p /etc/yum.repos.d
cat > /etc/yum.repos.d/lab.repo <<'END'
[updates]
name=Updates of the lab
baseurl=file:///srv/repo/updates
gpgcheck=0
metadata_expire=-1
END
printf '[main]\nenabled = 0\n' > /etc/dnf/plugins/local.conf
ln -sf dnf /usr/bin/yum
printf '#!/bin/sh\nexec dnf needs-restarting "$@"\n' > /usr/bin/needs-restarting
chmod 755 /usr/bin/needs-restarting

# What the vendor's RPM of the agent leaves: everything of user pandora's, run by root.
useradd --system --gid 0 --shell /bin/false --home-dir /usr/share/pandora_agent pandora
mkdir -p /usr/share/pandora_agent /etc/pandora /var/log/pandora /var/spool/pandora/data_out
cp -R /run/lab/agent-upstream/files/. /
install -m 755 /run/lab/agent-upstream/agent.conf /usr/share/pandora_agent/pandora_agent.conf
chmod 750 /usr/bin/pandora_agent
for folder in plugins collections commands ref; do
    mkdir /usr/share/pandora_agent/$folder
    ln -s /usr/share/pandora_agent/$folder /etc/pandora/$folder
done
ln -s /usr/share/pandora_agent/pandora_agent.conf /etc/pandora/pandora_agent.conf
chown -R pandora:root /usr/share/pandora_agent
find /usr/share/pandora_agent -type d -exec chmod 755 {} +
systemctl --quiet enable pandora_agent_daemon

# httpd, sshd, chronyd and the logs by the names that they have there.
useradd --system --shell /sbin/nologin --home-dir /usr/share/httpd apache
mkdir -p /etc/httpd/conf /var/log/httpd /var/www/html
ln -s /usr/lib/apache2/modules /etc/httpd/modules
ln -s /var/log/httpd /etc/httpd/logs
ln -s apache2 /usr/sbin/httpd
cat > /etc/httpd/conf/httpd.conf <<'END'
ServerRoot "/etc/httpd"
ServerName rhel.lab
PidFile /run/httpd.pid
LoadModule mpm_prefork_module modules/mod_mpm_prefork.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule dir_module modules/mod_dir.so
LoadModule mime_module modules/mod_mime.so
TypesConfig /etc/mime.types
Listen 80
User apache
Group apache
DocumentRoot "/var/www/html"
ErrorLog logs/error_log
IncludeOptional conf.d/*.conf
END
: >> /etc/mime.types
cat > /usr/lib/systemd/system/httpd.service <<'END'
[Unit]
Description=Web server
After=network.target

[Service]
ExecStart=/usr/sbin/httpd -d /etc/httpd -f conf/httpd.conf -DFOREGROUND
KillMode=mixed

[Install]
WantedBy=multi-user.target
END
systemctl --quiet disable apache2
sed '/^Alias=/d' /usr/lib/systemd/system/ssh.service > /usr/lib/systemd/system/sshd.service
systemctl --quiet disable ssh
rm -f /etc/systemd/system/sshd.service
ln -sf /dev/null /etc/systemd/system/ssh.service
systemctl --quiet enable httpd sshd
# The lab itself goes on calling chronyd as Debian does.
units=/usr/lib/systemd/system
systemctl --quiet disable chrony
sed '/^Alias=/d' $units/chrony.service > $units/chronyd.service
rm $units/chrony.service
ln -s chronyd.service $units/chrony.service
mv /etc/systemd/system/chrony.service.d /etc/systemd/system/chronyd.service.d
ln -s chrony/chrony.conf /etc/chrony.conf
echo 'DAEMON_OPTS="-F 1 -x -f /etc/chrony.conf"' > /etc/default/chrony
systemctl --quiet enable chronyd
sed -i -e 's#/var/log/auth.log#/var/log/secure#' -e 's#/var/log/syslog#/var/log/messages#' /etc/rsyslog.conf

cat > /etc/os-release.lab <<'END'
NAME="Red Hat Enterprise Linux"
VERSION="9.4 (Plow)"
ID="rhel"
ID_LIKE="fedora"
VERSION_ID="9.4"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Red Hat Enterprise Linux 9.4 (Plow)"
END
mv /etc/os-release.lab /usr/lib/os-release
# One run as root makes the history that others then only read.
dnf -q updateinfo list --security > /dev/null
rm -rf /usr/bin/dpkg* /usr/bin/apt* /etc/apt /etc/debian_version
