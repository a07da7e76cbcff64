-- The tables of Pandora FMS, level 69, as far as an audit looks at them: names, types and defaults; no more columns.
SET NAMES utf8mb4;
CREATE TABLE tconfig (id_config INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, token VARCHAR(100) NOT NULL DEFAULT '',
    value TEXT);
CREATE TABLE tusuario (id_user VARCHAR(255) NOT NULL DEFAULT '0' UNIQUE, password VARCHAR(60),
    is_admin TINYINT UNSIGNED NOT NULL DEFAULT 0, disabled INT NOT NULL DEFAULT 0,
    not_login TINYINT UNSIGNED NOT NULL DEFAULT 0, local_user TINYINT UNSIGNED NOT NULL DEFAULT 0,
    strict_acl TINYINT UNSIGNED NOT NULL DEFAULT 0, force_change_pass TINYINT UNSIGNED NOT NULL DEFAULT 0,
    last_pass_change DATETIME, last_failed_login DATETIME, failed_attempt INT NOT NULL DEFAULT 0,
    login_blocked TINYINT UNSIGNED NOT NULL DEFAULT 0, session_time INT NOT NULL DEFAULT 0,
    session_max_time_expire INT NOT NULL DEFAULT 0, last_connect BIGINT NOT NULL DEFAULT 0,
    api_token VARCHAR(255) NOT NULL DEFAULT '', allowed_ip_active TINYINT UNSIGNED DEFAULT 0, allowed_ip_list TEXT,
    auth_token_secret VARCHAR(45), ehorus_user_level_pass VARCHAR(45), integria_user_level_pass TEXT);
CREATE TABLE tuser_double_auth (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, id_user VARCHAR(255) NOT NULL UNIQUE,
    secret VARCHAR(20) NOT NULL);
CREATE TABLE tpassword_history (id_pass INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, id_user VARCHAR(255) NOT NULL,
    password VARCHAR(45), date_begin DATETIME, date_end DATETIME);
CREATE TABLE ttoken (label TEXT NOT NULL, uuid TEXT NOT NULL, challenge TEXT NOT NULL, id_user VARCHAR(60) NOT NULL
    DEFAULT '', validity DATETIME, last_usage DATETIME);
CREATE TABLE tperfil (id_perfil INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name TEXT,
    agent_view TINYINT NOT NULL DEFAULT 0, agent_edit TINYINT NOT NULL DEFAULT 0,
    agent_disable TINYINT NOT NULL DEFAULT 0, alert_edit TINYINT NOT NULL DEFAULT 0,
    alert_management TINYINT NOT NULL DEFAULT 0, user_management TINYINT NOT NULL DEFAULT 0,
    db_management TINYINT NOT NULL DEFAULT 0, pandora_management TINYINT NOT NULL DEFAULT 0,
    report_view TINYINT NOT NULL DEFAULT 0, report_edit TINYINT NOT NULL DEFAULT 0,
    report_management TINYINT NOT NULL DEFAULT 0, event_view TINYINT NOT NULL DEFAULT 0,
    event_edit TINYINT NOT NULL DEFAULT 0, event_management TINYINT NOT NULL DEFAULT 0,
    map_view TINYINT NOT NULL DEFAULT 0, map_edit TINYINT NOT NULL DEFAULT 0,
    map_management TINYINT NOT NULL DEFAULT 0, vconsole_view TINYINT NOT NULL DEFAULT 0,
    vconsole_edit TINYINT NOT NULL DEFAULT 0, vconsole_management TINYINT NOT NULL DEFAULT 0,
    network_config_view TINYINT NOT NULL DEFAULT 0, network_config_edit TINYINT NOT NULL DEFAULT 0,
    network_config_management TINYINT NOT NULL DEFAULT 0);
CREATE TABLE tusuario_perfil (id_usuario VARCHAR(255) NOT NULL DEFAULT '', id_perfil INT UNSIGNED NOT NULL DEFAULT 0,
    id_grupo INT NOT NULL DEFAULT 0, no_hierarchy TINYINT NOT NULL DEFAULT 0, assigned_by VARCHAR(100) NOT NULL
    DEFAULT '', id_policy INT UNSIGNED NOT NULL DEFAULT 0, tags TEXT);
CREATE TABLE tprofile_view (id_profile INT UNSIGNED NOT NULL DEFAULT 0, sec TEXT, sec2 TEXT, sec3 TEXT);
CREATE TABLE tgrupo (id_grupo MEDIUMINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, nombre VARCHAR(100) NOT NULL DEFAULT '',
    parent MEDIUMINT UNSIGNED NOT NULL DEFAULT 0, propagate TINYINT UNSIGNED NOT NULL DEFAULT 0,
    disabled TINYINT UNSIGNED NOT NULL DEFAULT 0, password VARCHAR(45) DEFAULT '',
    max_agents INT UNSIGNED NOT NULL DEFAULT 0);
CREATE TABLE tagente (id_agente INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, nombre VARCHAR(600) NOT NULL DEFAULT '',
    alias VARCHAR(600) NOT NULL DEFAULT '', direccion VARCHAR(100), comentarios VARCHAR(255) DEFAULT '',
    id_grupo INT UNSIGNED NOT NULL DEFAULT 0, modo TINYINT NOT NULL DEFAULT 0, fixed_ip TINYINT NOT NULL DEFAULT 0,
    remote TINYINT NOT NULL DEFAULT 0, disabled TINYINT NOT NULL DEFAULT 0, quiet TINYINT NOT NULL DEFAULT 0,
    id_os INT UNSIGNED DEFAULT 0, os_version VARCHAR(100) DEFAULT '', agent_version VARCHAR(100) DEFAULT '',
    ultimo_contacto DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00',
    ultimo_contacto_remoto DATETIME DEFAULT '1970-01-01 00:00:00', intervalo INT UNSIGNED NOT NULL DEFAULT 300,
    server_name VARCHAR(100) DEFAULT '', satellite_server INT NOT NULL DEFAULT 0,
    vul_scan_enabled TINYINT NOT NULL DEFAULT 2);
CREATE TABLE tagent_custom_fields (id_field INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(45) NOT NULL
    DEFAULT '', is_password_type TINYINT NOT NULL DEFAULT 0);
CREATE TABLE tagent_custom_data (id_field INT UNSIGNED NOT NULL, id_agent INT UNSIGNED NOT NULL, description TEXT,
    PRIMARY KEY (id_field, id_agent));
CREATE TABLE tsesion (id_sesion BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, id_usuario VARCHAR(255) NOT NULL
    DEFAULT '0', ip_origen VARCHAR(100) NOT NULL DEFAULT '', accion VARCHAR(100) NOT NULL DEFAULT '', descripcion TEXT,
    fecha DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00', utimestamp BIGINT UNSIGNED NOT NULL DEFAULT 0);
CREATE TABLE tsesion_extended (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, id_sesion INT UNSIGNED NOT NULL,
    extended_info TEXT, hash VARCHAR(255) DEFAULT '');
CREATE TABLE tsessions_php (id_session CHAR(52) PRIMARY KEY, last_active INT NOT NULL, data TEXT);
CREATE TABLE tcredential_store (identifier VARCHAR(100) PRIMARY KEY, id_group MEDIUMINT UNSIGNED NOT NULL DEFAULT 0,
    product ENUM('CUSTOM', 'AWS', 'AZURE', 'GOOGLE', 'SAP', 'WMI', 'SNMP') DEFAULT 'CUSTOM', username TEXT,
    password TEXT, extra_1 TEXT, extra_2 TEXT);
CREATE TABLE tplugin (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(200) NOT NULL,
    execute VARCHAR(250) NOT NULL, plugin_type INT UNSIGNED NOT NULL DEFAULT 0, macros TEXT, parameters TEXT,
    no_delete TINYINT NOT NULL DEFAULT 0);
CREATE TABLE tcollection (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL DEFAULT '',
    short_name VARCHAR(100) NOT NULL DEFAULT '', id_group INT UNSIGNED NOT NULL DEFAULT 0,
    status INT UNSIGNED NOT NULL DEFAULT 0);
CREATE TABLE tpolicies (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name TEXT,
    description VARCHAR(255) NOT NULL DEFAULT '', id_group INT UNSIGNED DEFAULT 0,
    status INT UNSIGNED NOT NULL DEFAULT 0, force_apply TINYINT DEFAULT 0);
CREATE TABLE tpolicy_agents (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, id_policy INT UNSIGNED DEFAULT 0,
    id_agent INT UNSIGNED DEFAULT 0, policy_applied TINYINT UNSIGNED DEFAULT 0,
    last_apply_utimestamp INT UNSIGNED NOT NULL DEFAULT 0);
CREATE TABLE tpolicy_plugins (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, id_policy INT UNSIGNED DEFAULT 0,
    plugin_exec TEXT);
CREATE TABLE tpolicy_collections (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    id_policy INT UNSIGNED NOT NULL DEFAULT 0,
    id_collection INT UNSIGNED DEFAULT 0);
CREATE TABLE talert_commands (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL DEFAULT '',
    command TEXT, id_group MEDIUMINT UNSIGNED DEFAULT 0, description TEXT, internal TINYINT DEFAULT 0);
CREATE TABLE talert_actions (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name TEXT,
    id_alert_command INT UNSIGNED DEFAULT 0, field1 TEXT, id_group MEDIUMINT UNSIGNED DEFAULT 0);
CREATE TABLE talert_templates (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name TEXT, description MEDIUMTEXT,
    id_alert_action INT UNSIGNED, field1 TEXT);
CREATE TABLE talert_template_modules (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    id_agent_module INT UNSIGNED NOT NULL, id_alert_template INT UNSIGNED NOT NULL,
    id_policy_alerts INT UNSIGNED NOT NULL DEFAULT 0, disabled TINYINT DEFAULT 0, standby TINYINT DEFAULT 0);
CREATE TABLE talert_template_module_actions (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    id_alert_template_module INT UNSIGNED NOT NULL, id_alert_action INT UNSIGNED NOT NULL,
    fires_min INT UNSIGNED DEFAULT 0, fires_max INT UNSIGNED DEFAULT 0);
CREATE TABLE tevent_alert (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name TEXT, disabled TINYINT DEFAULT 0);
CREATE TABLE tagente_modulo (id_agente_modulo INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    id_agente INT UNSIGNED NOT NULL DEFAULT 0, id_tipo_modulo SMALLINT NOT NULL DEFAULT 0, nombre TEXT,
    id_modulo INT UNSIGNED DEFAULT 0,
    disabled TINYINT UNSIGNED NOT NULL DEFAULT 0, delete_pending TINYINT UNSIGNED DEFAULT 0,
    plugin_user TEXT, plugin_pass TEXT);
CREATE TABLE tagente_estado (id_agente_estado INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    id_agente_modulo INT NOT NULL DEFAULT 0, datos MEDIUMTEXT, estado INT NOT NULL DEFAULT 0,
    id_agente INT NOT NULL DEFAULT 0, utimestamp BIGINT NOT NULL DEFAULT 0, current_interval INT NOT NULL DEFAULT 0);
CREATE TABLE tevent_response (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(600) NOT NULL DEFAULT '',
    description TEXT, target TEXT, type VARCHAR(60) NOT NULL, id_group MEDIUMINT NOT NULL DEFAULT 0);
CREATE TABLE tremote_command (name VARCHAR(150) NOT NULL, script TEXT, preconditions TEXT, postconditions TEXT,
    id_group INT UNSIGNED NOT NULL DEFAULT 0);
CREATE TABLE tserver (name VARCHAR(100) NOT NULL DEFAULT '', ip_address VARCHAR(100) NOT NULL DEFAULT '',
    status INT NOT NULL DEFAULT 0, keepalive DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00',
    server_type TINYINT UNSIGNED NOT NULL DEFAULT 0, version VARCHAR(25) NOT NULL DEFAULT '',
    master TINYINT UNSIGNED NOT NULL DEFAULT 0);
CREATE TABLE tdatabase (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, host VARCHAR(255) DEFAULT '',
    label VARCHAR(255) DEFAULT '', os_port INT UNSIGNED NOT NULL DEFAULT 22, os_user VARCHAR(255) DEFAULT '',
    db_port INT UNSIGNED NOT NULL DEFAULT 3306, ssh_key TEXT);
CREATE TABLE tmetaconsole_setup (id INT AUTO_INCREMENT PRIMARY KEY, server_name TEXT, server_url TEXT, dbuser TEXT,
    dbpass TEXT, dbhost TEXT, auth_token TEXT, api_password TEXT NOT NULL,
    disabled TINYINT UNSIGNED NOT NULL DEFAULT 0);
CREATE TABLE tupdate_settings (`key` VARCHAR(255) DEFAULT '' PRIMARY KEY, value VARCHAR(255) DEFAULT '');

-- As a new installation has them once its server has begun and its first page was opened; what is not here is absent
-- there, too.
INSERT INTO tconfig (token, value) VALUES
    ('MR', '69'), ('db_scheme_version', '7.0NG'), ('db_scheme_build', 'PD240328'), ('current_package', '776'),
    ('enable_pass_policy', '0'), ('enable_pass_policy_admin', '1'), ('pass_size', '4'), ('pass_needs_numbers', '0'),
    ('pass_needs_symbols', '0'), ('pass_expire', '0'), ('first_login', '0'), ('mins_fail_pass', '5'),
    ('number_attempts', '5'), ('enable_pass_history', '0'), ('compare_pass', '3'), ('audit_purge', '15'),
    ('list_ACL_IPs_for_API', '127.0.0.1'), ('loginhash_pwd', ''), ('auth', 'mysql'), ('api_password', '1234'),
    ('remote_config', '/var/spool/pandora/data_in'), ('https', '0'), ('session_timeout', '90'),
    ('reset_pass_option', '0'), ('audit_log_enabled', '0'), ('acl_enterprise', '0'), ('fallback_local_auth', '0'), ('ldap_server', 'localhost'),
    ('ldap_start_tls', '0'), ('ldap_server_secondary', 'localhost'), ('ldap_start_tls_secondary', '0'),
    ('ad_server', 'localhost'), ('ad_start_tls', '0'), ('ad_server_secondary', 'localhost'),
    ('referer_security', '0'), ('trap2agent', '0'), ('trap2agent', '0');
INSERT INTO tperfil (name, agent_view, agent_edit, agent_disable, alert_edit, alert_management, user_management,
    db_management, pandora_management, report_view, report_edit, report_management, event_view, event_edit,
    event_management, map_view, map_edit, map_management, vconsole_view, vconsole_edit, vconsole_management,
    network_config_view, network_config_edit, network_config_management) VALUES
    ('Operator&#x20;&#40;Read&#41;', 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0),
    ('Operator&#x20;&#40;Write&#41;', 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0),
    ('Chief&#x20;Operator', 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0),
    ('Group&#x20;coordinator', 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
    ('Pandora&#x20;Administrator', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);
INSERT INTO tgrupo (id_grupo, nombre) VALUES (2, 'Servers'), (4, 'Firewalls'), (8, 'Databases'), (9, 'Network'),
    (10, 'Unknown'), (11, 'Workstations'), (12, 'Applications'), (13, 'Web');
-- The administrator with the password and the token that the vendor's seed is known for.
INSERT INTO tusuario (id_user, password, is_admin, api_token) VALUES
    ('admin', '$2y$10$Wv/xoxjI2VAkthJhk/PzeeGIhBKYU/K.TMgUdmW7fEP2NQkdWlB9K', 1, 'pandora1234'),
    ('internal_API', '81dc9bdb52d04dc20036dbd8313ed055', 0, '');
UPDATE tusuario SET not_login = 1 WHERE id_user = 'internal_API';
INSERT INTO tusuario_perfil (id_usuario, id_perfil, id_grupo) VALUES ('admin', 5, 0);
INSERT INTO tagent_custom_fields (name) VALUES ('Serial&#x20;Number'), ('Department'), ('Additional&#x20;ID'),
    ('eHorusID');
INSERT INTO tagente (nombre, alias, direccion, id_grupo, modo, id_os, agent_version, ultimo_contacto) VALUES
    ('4e81c5a0f2d94b7c', 'pandora01', '192.0.2.10', 10, 1, 1, '7.0NG.776', NOW()),
    ('b7d6310ce8a54f02', 'web01', '192.0.2.31', 10, 1, 1, '7.0NG.776', NOW()),
    ('90aa4be7715d4c18', 'web02', '192.0.2.32', 10, 1, 1, '7.0NG.776', NOW());
INSERT INTO tserver VALUES ('pandora01', '192.0.2.10', 1, NOW(), 0, '7.0NG.776', 1);
INSERT INTO tsesion (id_usuario, ip_origen, accion, descripcion, fecha, utimestamp) VALUES
    ('admin', '192.0.2.50', 'Logon', 'Logged&#x20;in', NOW(), UNIX_TIMESTAMP());
INSERT INTO tplugin (name, execute) VALUES ('Packet&#x20;Loss', '/usr/share/pandora_server/util/plugin/packet_loss.sh');
INSERT INTO talert_commands (name, command, internal) VALUES
    ('eMail', 'Internal&#x20;type', 1), ('Internal&#x20;Audit', 'Internal&#x20;type', 1);
INSERT INTO talert_actions (name, id_alert_command, field1) VALUES
    ('Mail&#x20;to&#x20;Admin', 1, 'yourmail@domain.es');
INSERT INTO talert_templates (name, id_alert_action) VALUES ('Critical&#x20;condition', 1);
INSERT INTO tevent_response (name, description, target, type) VALUES
    ('Ping&#x20;to&#x20;host', 'Does&#x20;it&#x20;answer?', 'ping&#x20;-c&#x20;5&#x20;_agent_address_', 'command');
-- What people made: a collection, and a policy that brings it and a plugin to an agent.
INSERT INTO tcollection (id, name, short_name, id_group) VALUES (1, 'Scripts', 'scripts', 2);
INSERT INTO tpolicies (id, name, id_group, status) VALUES (1, 'Linux&#x20;servers', 2, 1);
INSERT INTO tpolicy_agents (id_policy, id_agent, policy_applied, last_apply_utimestamp)
    SELECT 1, id_agente, 1, UNIX_TIMESTAMP() FROM tagente WHERE alias = 'web01';
INSERT INTO tpolicy_plugins (id_policy, plugin_exec) VALUES (1, 'inventory&#x20;1&#x20;software');
INSERT INTO tpolicy_collections (id_policy, id_collection) VALUES (1, 1);
-- A password that the console was given, and what the server's own agent has brought: logs, and a security plugin
-- that found nothing.
INSERT INTO tcredential_store (identifier, id_group, username, password) VALUES
    ('switches', 9, 'backup', 'lab-Only-Store-6');
INSERT INTO tagente_modulo (id_agente, id_tipo_modulo, nombre, id_modulo)
    SELECT id_agente, 23, 'Syslog', 1 FROM tagente WHERE alias = 'pandora01' UNION ALL
    SELECT id_agente, 23, 'Secure', 1 FROM tagente WHERE alias = 'pandora01' UNION ALL
    SELECT id_agente, 2, 'SSH&#x20;root&#x20;access&#x20;status', 1 FROM tagente WHERE alias = 'pandora01' UNION ALL
    SELECT id_agente, 2, 'SELinux&#x20;status', 1 FROM tagente WHERE alias = 'pandora01' UNION ALL
    SELECT id_agente, 1, 'Load&#x20;Average', 1 FROM tagente WHERE alias = 'pandora01';
INSERT INTO tagente_estado (id_agente_modulo, id_agente, datos, utimestamp, current_interval)
    SELECT id_agente_modulo, id_agente, 'lab-Only-Line-8', UNIX_TIMESTAMP(), 300 FROM tagente_modulo;
