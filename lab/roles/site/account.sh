set -eu
# The audit's account: its key opens it from the auditor's machine only.
sed -i "s/^ssh-/from=\"$AUDITOR\" &/" /home/audit/.ssh/authorized_keys
