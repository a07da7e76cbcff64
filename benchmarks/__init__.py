"""What the audit costs, against stock pytest-testinfra and against the least that paramiko needs."""
