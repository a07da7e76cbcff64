set -eu
# Its own clock, which is the machine's, for every host of the lab.
printf 'local stratum 8\nallow 10.99.0.0/16\n' > /etc/chrony/conf.d/server.conf
