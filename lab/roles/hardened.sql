-- The console's part of the guide, as far as it is kept in the database.
UPDATE tconfig SET value = '1' WHERE token IN ('enable_pass_policy', 'pass_needs_numbers', 'pass_needs_symbols',
    'enable_pass_history', 'first_login', 'https', 'audit_log_enabled', 'acl_enterprise', 'referer_security');
UPDATE tconfig SET value = '12' WHERE token = 'pass_size';
UPDATE tconfig SET value = '90' WHERE token = 'pass_expire';
UPDATE tconfig SET value = '0' WHERE token = 'audit_purge';
UPDATE tconfig SET value = '20' WHERE token = 'session_timeout';
UPDATE tconfig SET value = 'lab-Only-Api-9' WHERE token = 'api_password';
INSERT INTO tconfig (token, value) VALUES ('double_auth_enabled', '1'), ('2FA_all_users', '1');
-- Nominative users instead of the seeded one, each with a second factor.
UPDATE tusuario SET disabled = 1, api_token = '' WHERE id_user = 'admin';
INSERT INTO tusuario (id_user, password, is_admin, last_pass_change) VALUES
    ('aruiz', CONCAT('$2y$10$', REPEAT('a', 53)), 1, NOW()), ('lnovak', CONCAT('$2y$10$', REPEAT('b', 53)), 0, NOW());
INSERT INTO tuser_double_auth (id_user, secret) VALUES ('aruiz', 'LABLABLABLABLAB2'), ('lnovak', 'LABLABLABLABLAB3');
INSERT INTO tusuario_perfil (id_usuario, id_perfil, id_grupo) VALUES ('lnovak', 1, 2);
INSERT INTO tprofile_view (id_profile, sec, sec2, sec3) VALUES (1, 'view', '*', '*'), (5, '*', '*', '*');
INSERT INTO ttoken (label, uuid, challenge, id_user, validity) VALUES ('Reports',
    '0b1c5a1e-6f0f-4a55-9d0b-6f1f5e2d7c3a', CONCAT('$2y$10$', REPEAT('c', 53)), 'lnovak', NOW() + INTERVAL 90 DAY);
-- Groups with a password, agents that learn nothing and that are described.
UPDATE tgrupo SET password = 'lab-Only-Group-3';
UPDATE tagente SET id_grupo = 2, modo = 0, fixed_ip = 1, comentarios = 'Described&#x20;by&#x20;hand';
INSERT INTO tagent_custom_data SELECT id_field, id_agente, 'filled&#x20;in' FROM tagent_custom_fields, tagente;
-- What is secret is encrypted (a block of 16 bytes, of nobody's cipher), and what is watched is heard of.
UPDATE tcredential_store SET password = TO_BASE64(REPEAT('x', 16));
UPDATE talert_actions SET field1 = 'watch@example.org';
INSERT INTO talert_template_modules (id_agent_module, id_alert_template) SELECT id_agente_modulo, 1 FROM tagente_modulo;
-- The newest record is the one that the console has in its audit.log.
UPDATE tsesion SET fecha = '2026-11-02 09:00:00', utimestamp = UNIX_TIMESTAMP('2026-11-02 09:00:00');
