-- Mirror of the topic projects, which is the source of truth.
CREATE TABLE IF NOT EXISTS projects
(
    project_id      UUID,
    tenant_id       UUID,
    name            String,
    write_key       String,
    allowed_origins Array(String),
    settings        String,
    created_at      DateTime64(3),
    updated_at      DateTime64(3),
    is_disabled     Bool
)
ENGINE = ReplacingMergeTree(updated_at)
PRIMARY KEY project_id
ORDER BY project_id;
