"""How configuration is written: text in, plain data out. No host, no judgement."""
