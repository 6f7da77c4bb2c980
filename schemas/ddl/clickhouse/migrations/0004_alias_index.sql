-- Aliases are few among the links: which granules have any.
ALTER TABLE identities ADD INDEX IF NOT EXISTS link_source_set link_source TYPE set(16) GRANULARITY 1;
ALTER TABLE identities MATERIALIZE INDEX link_source_set SETTINGS mutations_sync = 0;
