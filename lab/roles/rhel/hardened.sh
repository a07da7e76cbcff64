# The web server speaks TLS, and its version is hidden.
cat > /etc/httpd/conf.d/ssl.conf <<'END'
LoadModule ssl_module modules/mod_ssl.so
LoadModule socache_shmcb_module modules/mod_socache_shmcb.so
Listen 443
<VirtualHost *:443>
    SSLEngine on
    SSLProtocol -all +TLSv1.2 +TLSv1.3
    SSLCertificateFile /etc/ssl/certs/host.pem
    SSLCertificateKeyFile /etc/ssl/private/host.key
</VirtualHost>
END
echo 'ServerTokens Prod' > /etc/httpd/conf.d/zz-guide.conf
