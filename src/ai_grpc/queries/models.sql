-- name: register_model
INSERT INTO ai_models (model_name, version, model_type, model_subtype, description, configuration)
VALUES (:model_name, :version, :model_type, :model_subtype, :description, :configuration)
ON CONFLICT ON CONSTRAINT model_name_and_version_are_unique DO NOTHING
RETURNING model_id

-- name: find_registered
SELECT
  array_remove(ARRAY[
    CASE WHEN a.model_type <> :model_type THEN 'model_type' END,
    CASE WHEN a.model_subtype <> :model_subtype THEN 'model_subtype' END,
    CASE WHEN a.description <> :description THEN 'description' END,
    CASE WHEN a.configuration IS DISTINCT FROM :configuration THEN 'configuration' END
  ], NULL) AS differing,
  m.*
FROM ai_models AS a, model_message(a) AS m
WHERE a.model_name = :model_name AND a.version = :version

-- name: get_model
SELECT m.*
FROM ai_models AS a, model_message(a) AS m
WHERE a.model_id = :model_id

-- name: list_models
SELECT a.created_at AS page_time, a.model_id AS page_id, m.*
FROM ai_models AS a, model_message(a) AS m
WHERE (:page_time::timestamptz IS NULL OR (a.created_at, a.model_id) < (:page_time, :page_id::uuid))
  AND (:model_name = '' OR a.model_name = :model_name)
  AND (:model_type = '' OR a.model_type = :model_type)
  AND (:active::boolean IS NULL OR a.is_active = :active)
ORDER BY a.created_at DESC, a.model_id DESC
LIMIT :page_limit

-- name: update_model
WITH updated AS (
  UPDATE ai_models AS a
  SET description = CASE WHEN 'description' = ANY (:paths::text[]) THEN :description ELSE a.description END,
    configuration = CASE WHEN 'configuration' = ANY (:paths) THEN :configuration ELSE a.configuration END,
    performance_metrics = CASE WHEN 'performance_metrics' = ANY (:paths) THEN :performance_metrics ELSE a.performance_metrics END,
    updated_at = clock_timestamp()
  WHERE a.model_id = :model_id
  RETURNING a AS model
)
SELECT m.* FROM updated, model_message(updated.model) AS m

-- name: set_model_active
WITH updated AS (
  UPDATE ai_models AS a
  SET is_active = :active, updated_at = CASE WHEN a.is_active = :active THEN a.updated_at ELSE clock_timestamp() END
  WHERE a.model_id = :model_id
  RETURNING a AS model
)
SELECT m.* FROM updated, model_message(updated.model) AS m

-- name: set_model_alias
INSERT INTO ai_model_aliases (model_name, alias, model_id)
SELECT a.model_name, :alias, a.model_id FROM ai_models AS a WHERE a.model_id = :model_id
ON CONFLICT (model_name, alias) DO UPDATE SET model_id = EXCLUDED.model_id, created_at = clock_timestamp()

-- name: resolve_model_alias
SELECT m.*
FROM ai_model_aliases AS named
JOIN ai_models AS a USING (model_id), model_message(a) AS m
WHERE named.model_name = :model_name AND named.alias = :alias

-- name: remove_model_alias
DELETE FROM ai_model_aliases WHERE model_name = :model_name AND alias = :alias
