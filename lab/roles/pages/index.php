<?php
// A page that treats its session cookie as the real console does: the second answer sends it again, without flags.
require 'include/config.php';

/** Sessions that leave nothing on the host; the real console keeps them in a table. */
class Forgetful implements SessionHandlerInterface
{
    public function open(string $path, string $name): bool { return true; }
    public function close(): bool { return true; }
    public function read(string $id): string|false { return ''; }
    public function write(string $id, string $data): bool { return true; }
    public function destroy(string $id): bool { return true; }
    public function gc(int $max): int|false { return 0; }
}

session_set_save_handler(new Forgetful());
session_start();
if (isset($_COOKIE[session_name()])) {
    setcookie(session_name(), $_COOKIE[session_name()], time() + 90 * 60, '/');
}
echo '<html><head><title>Console</title></head><body>Login</body></html>';
