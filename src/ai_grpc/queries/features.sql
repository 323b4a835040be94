-- name: put_features
WITH given AS (
  -- The last of a key; and in the order of the keys, so that two writers of the same ones wait for each other in line.
  SELECT DISTINCT ON (g.symbol COLLATE "C", g.feature_set_name COLLATE "C", g.event_time) g.*
  FROM unnest(
    :symbol::text[], :event_time::timestamptz[], :feature_set_name::text[], :features::jsonb[], :raw_data_hash::text[],
    :extraction_method::text[]
  ) WITH ORDINALITY AS g (symbol, event_time, feature_set_name, features, raw_data_hash, extraction_method, place)
  ORDER BY g.symbol COLLATE "C", g.feature_set_name COLLATE "C", g.event_time, g.place DESC
), stored AS (
  INSERT INTO feature_data AS f (symbol, timestamp, feature_set_name, features, raw_data_hash, extraction_method)
  SELECT
    g.symbol, g.event_time, g.feature_set_name, g.features,
    coalesce(nullif(g.raw_data_hash, ''), encode(sha256(convert_to(g.features::text, 'UTF8')), 'hex')),
    g.extraction_method
  FROM given AS g
  ON CONFLICT (symbol, feature_set_name, timestamp) DO UPDATE
  SET features = EXCLUDED.features, raw_data_hash = EXCLUDED.raw_data_hash,
    extraction_method = EXCLUDED.extraction_method, created_at = EXCLUDED.created_at
  WHERE (f.features, f.raw_data_hash, f.extraction_method) IS DISTINCT FROM (
    EXCLUDED.features, EXCLUDED.raw_data_hash, EXCLUDED.extraction_method
  )
  RETURNING 1
)
SELECT count(*) AS stored FROM stored

-- name: look_up_features
WITH found AS (
  SELECT
    s.symbol, s.place AS symbol_place, n.feature_set_name, n.place AS set_place, m.event_time, m.features,
    m.raw_data_hash, m.extraction_method, m.create_time, a.fresh,
    coalesce(sum(octet_length(m.features::text)) FILTER (WHERE a.fresh) OVER (), 0) > :max_bytes::bigint AS too_many_bytes
  FROM unnest(:symbols::text[]) WITH ORDINALITY AS s (symbol, place)
  CROSS JOIN unnest(:feature_set_names::text[]) WITH ORDINALITY AS n (feature_set_name, place)
  -- Now, unless a time is given: whoever has a wrong clock does not have the latest for ever.
  CROSS JOIN (SELECT coalesce(:as_of::timestamptz, statement_timestamp()) AS as_of) AS moment
  LEFT JOIN LATERAL (
    SELECT m.*
    FROM feature_data AS f, feature_vector_message(f) AS m
    WHERE f.symbol = s.symbol AND f.feature_set_name = n.feature_set_name
      AND f.timestamp <= moment.as_of
      AND f.created_at <= coalesce(:known_by::timestamptz, 'infinity')
    ORDER BY f.timestamp DESC
    LIMIT 1
  ) AS m ON TRUE,
  LATERAL (SELECT coalesce(moment.as_of - m.event_time <= :max_age::interval, TRUE)) AS a (fresh)
)
SELECT
  CASE
    WHEN f.event_time IS NULL THEN 'STATUS_NOT_FOUND'
    WHEN f.fresh THEN 'STATUS_PRESENT'
    ELSE 'STATUS_OUTSIDE_MAX_AGE'
  END AS status,
  f.symbol, f.event_time, f.feature_set_name,
  CASE WHEN f.fresh AND NOT f.too_many_bytes THEN f.features END AS features,
  CASE WHEN f.fresh THEN f.raw_data_hash END AS raw_data_hash,
  CASE WHEN f.fresh THEN f.extraction_method END AS extraction_method,
  CASE WHEN f.fresh THEN f.create_time END AS create_time,
  f.too_many_bytes
FROM found AS f
ORDER BY f.symbol_place, f.set_place

-- name: read_features
SELECT m.*
FROM feature_data AS f, feature_vector_message(f) AS m
WHERE f.feature_set_name = :feature_set_name
  AND f.timestamp >= coalesce(:after_time::timestamptz, :start_time)
  AND f.timestamp < least(:end_time, coalesce(:after_time, :start_time) + :span::interval)
  AND (f.timestamp, f.symbol) > (coalesce(:after_time, :start_time), :after_symbol)
  -- A single symbol is compared as such, so that its index gives the order too.
  AND (cardinality(:symbols::text[]) <> 1 OR f.symbol = (:symbols)[1])
  AND (cardinality(:symbols) < 2 OR f.symbol = ANY (:symbols))
  AND f.created_at <= coalesce(:known_by::timestamptz, 'infinity')
ORDER BY f.timestamp, f.symbol
LIMIT :page_limit
