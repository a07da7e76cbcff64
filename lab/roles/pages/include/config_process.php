<?php
// Where the real console reads the rest of its settings from the database.
