-- name: sessions_without_heartbeat_failed
SELECT fail_silent_sessions()

-- name: runs_without_heartbeat_failed
SELECT fail_silent_runs()
-- name: feature_partitions_made
SELECT make_feature_partitions()

-- name: old_features_removed
SELECT CASE WHEN :feature_retention_days::int > 0 THEN cleanup_old_feature_data(:feature_retention_days) END
