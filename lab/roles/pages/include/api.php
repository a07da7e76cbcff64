<?php
require 'config.php';
echo ($_GET['info'] ?? '') === 'version' ? 'Pandora FMS v7.0NG.776 - PC240328 MR69' : 'auth error';
