-- Version 3 of the schema: finds the backups that are to be erased without reading the others.

CREATE INDEX backups_replaced ON backups (replaced_at) WHERE replaced_at IS NOT NULL;
