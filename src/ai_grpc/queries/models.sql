-- name: register_model
INSERT INTO ai_models (model_name, version, model_type, model_subtype, description, configuration)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT ON CONSTRAINT model_name_and_version_are_unique DO NOTHING
RETURNING model_id

-- name: find_registered
SELECT
  array_remove(ARRAY[
    CASE WHEN a.model_type <> $3 THEN 'model_type' END,
    CASE WHEN a.model_subtype <> $4 THEN 'model_subtype' END,
    CASE WHEN a.description <> $5 THEN 'description' END,
    CASE WHEN a.configuration IS DISTINCT FROM $6 THEN 'configuration' END
  ], NULL) AS differing,
  m.*
FROM ai_models AS a, model_message(a) AS m
WHERE a.model_name = $1 AND a.version = $2

-- name: get_model
SELECT m.*
FROM ai_models AS a, model_message(a) AS m
WHERE a.model_id = $1

-- name: list_models
SELECT a.created_at AS page_time, a.model_id AS page_id, m.*
FROM ai_models AS a, model_message(a) AS m
WHERE ($2::timestamptz IS NULL OR (a.created_at, a.model_id) < ($2, $3::uuid))
  AND ($4 = '' OR a.model_name = $4)
  AND ($5 = '' OR a.model_type = $5)
  AND ($6::boolean IS NULL OR a.is_active = $6)
ORDER BY a.created_at DESC, a.model_id DESC
LIMIT $1

-- name: update_model
WITH updated AS (
  UPDATE ai_models AS a
  SET description = CASE WHEN 'description' = ANY ($2::text[]) THEN $3 ELSE a.description END,
    configuration = CASE WHEN 'configuration' = ANY ($2) THEN $4 ELSE a.configuration END,
    performance_metrics = CASE WHEN 'performance_metrics' = ANY ($2) THEN $5 ELSE a.performance_metrics END,
    updated_at = clock_timestamp()
  WHERE a.model_id = $1
  RETURNING a AS model
)
SELECT m.* FROM updated, model_message(updated.model) AS m

-- name: set_model_active
WITH updated AS (
  UPDATE ai_models AS a
  SET is_active = $2, updated_at = CASE WHEN a.is_active = $2 THEN a.updated_at ELSE clock_timestamp() END
  WHERE a.model_id = $1
  RETURNING a AS model
)
SELECT m.* FROM updated, model_message(updated.model) AS m

-- name: set_model_alias
INSERT INTO ai_model_aliases (model_name, alias, model_id)
SELECT a.model_name, $2, a.model_id FROM ai_models AS a WHERE a.model_id = $1
ON CONFLICT (model_name, alias) DO UPDATE SET model_id = EXCLUDED.model_id, created_at = clock_timestamp()

-- name: resolve_model_alias
SELECT m.*
FROM ai_model_aliases AS named
JOIN ai_models AS a USING (model_id), model_message(a) AS m
WHERE named.model_name = $1 AND named.alias = $2

-- name: remove_model_alias
DELETE FROM ai_model_aliases WHERE model_name = $1 AND alias = $2
