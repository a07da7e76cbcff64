# The version of the web server is hidden.
echo 'ServerTokens Prod' > /etc/httpd/conf.d/zz-guide.conf
