-- Passwords are proven by a signature, but for the console's: PHP's own driver does not know it. The audit may ask from
-- the server, too.
INSTALL SONAME 'auth_ed25519';
ALTER USER pandora@'10.99.%' IDENTIFIED VIA ed25519 USING PASSWORD('lab-Only-Pandora-7') REQUIRE SSL;
CREATE USER pandora@'CONSOLE' IDENTIFIED BY 'lab-Only-Pandora-7' REQUIRE SSL;
GRANT ALL PRIVILEGES ON pandora.* TO pandora@'CONSOLE';
CREATE USER audit@'SERVER' IDENTIFIED VIA ed25519 USING PASSWORD('lab-Only-Audit-2') REQUIRE SSL;
GRANT SELECT ON pandora_audit.* TO audit@'SERVER';
-- Every agent is described and learns nothing; those of the server have just been heard of.
UPDATE tagente SET id_grupo = 2, modo = 0, fixed_ip = 1, comentarios = 'Described&#x20;by&#x20;hand',
    ultimo_contacto = NOW();
INSERT IGNORE INTO tagent_custom_data SELECT id_field, id_agente, 'filled&#x20;in' FROM tagent_custom_fields, tagente;
UPDATE tagente_estado SET utimestamp = UNIX_TIMESTAMP();
-- What the Enterprise edition writes beside each record: a signature, here nobody's.
INSERT INTO tsesion_extended (id_sesion, hash) SELECT id_sesion, SHA2(CONCAT(id_sesion, fecha), 256) FROM tsesion;
