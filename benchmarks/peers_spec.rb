# What serverspec's documentation shows for the rules that both have; the rule's name is the example's.
require 'serverspec'
set :backend, :exec

describe file('/etc/ssh/sshd_config') do
  it('ssh.root-login') { expect(subject.content).to match(/^PermitRootLogin no/) }
  it('ssh.tcp-forwarding') { expect(subject.content).to match(/^AllowTcpForwarding no/) }
  it('ssh.banner') { expect(subject.content).to match(%r{^Banner /}) }
end

describe port(22) do
  it('ssh.port') { expect(subject).not_to be_listening }
end

describe service('chrony') do
  it('system.time-service enabled') { expect(subject).to be_enabled }
  it('system.time-service') { expect(subject).to be_running }
end

describe service('rsyslog') do
  it('system.auth-log') { expect(subject).to be_running }
end

%w[/var/log/auth.log /var/log/secure].select { |path| File.exist?(path) }.each do |path|
  describe file(path) do
    it('system.auth-log-private') { expect(subject).not_to be_readable.by('others') }
  end
end

%w[www-data mysql pandora].each do |name|
  describe user(name), if: File.read('/etc/passwd').match?(/^#{name}:/) do
    it('system.service-accounts') { expect(subject).to have_login_shell('/usr/sbin/nologin') }
  end
end

%w[telnetd inetutils-telnetd tftpd tftpd-hpa vsftpd rsh-server].each do |name|
  describe package(name) do
    it('system.legacy-services') { expect(subject).not_to be_installed }
  end
end

describe iptables do
  it('system.firewall') { expect(subject).to have_rule('-P INPUT DROP') }
end

if Dir.exist?('/etc/php')
  describe php_config('session.cookie_httponly') do
    it('php.cookie-httponly') { expect(subject.value.to_s).to eq '1' }
  end
  describe php_config('session.cookie_secure') do
    it('php.cookie-secure') { expect(subject.value.to_s).to eq '1' }
  end
  describe php_config('expose_php') do
    it('php.exposure') { expect(subject.value.to_s).not_to eq '1' }
  end
end

%w[/etc/apache2/conf-enabled/security.conf /etc/apache2/apache2.conf].select { |path| File.exist?(path) }.first(1).each do |path|
  describe file(path) do
    it('web.server-tokens') { expect(subject.content).to match(/^ServerTokens Prod/) }
  end
end

if File.exist?('/etc/nginx/nginx.conf')
  describe file('/etc/nginx/nginx.conf') do
    it('web.server-tokens') { expect(subject.content).to match(/^\s*server_tokens off;/) }
  end
end

if Dir.exist?('/etc/mysql')
  describe mysql_config('bind-address') do
    it('mysql.bind-address') { expect(subject.value.to_s).to match(/^(127\.0\.0\.1|::1|localhost)$/) }
  end
  describe mysql_config('require_secure_transport') do
    it('mysql.tls-required') { expect(subject.value.to_s).to match(/^(1|ON)$/i) }
  end
  describe file('/var/lib/mysql') do
    it('mysql.files-private') { expect(subject).not_to be_readable.by('others') }
  end
end
