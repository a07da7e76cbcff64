set -eu
# As the vendor's tarball installer leaves an agent that runs as root.
share=/usr/share/pandora_agent
mkdir -p /etc/pandora /var/spool/pandora/data_out $share/plugins $share/collections $share/commands $share/ref
mkdir -m 711 -p /var/log/pandora
install -m 600 /run/lab/agent.conf /etc/pandora/pandora_agent.conf
for plugin in pandora_df_used grep_log_module inventory pandora_security_check; do
    printf '#!/bin/sh\n# A stand-in: it answers nothing.\nexit 0\n' > $share/plugins/$plugin
    chmod 700 $share/plugins/$plugin
done
for folder in plugins collections commands ref; do
    chmod 700 $share/$folder
    ln -s $share/$folder /etc/pandora/$folder
done
chmod 700 /var/spool/pandora/data_out
install -m 640 /dev/null /var/log/pandora/pandora_agent.log
systemctl --quiet enable pandora_agent_daemon
