-- What models find in the frequency domain.

-- migrate:up
CREATE TABLE ai_trading.spectrum_analysis (
  analysis_id          UUID PRIMARY KEY,
  model_id             UUID NOT NULL REFERENCES ai_trading.ai_models,
  symbol               VARCHAR NOT NULL,
  analysis_timestamp   TIMESTAMPTZ,
  analysis_type        VARCHAR NOT NULL,
  frequency_components JSONB,
  spectral_features    JSONB,
  pattern_detected     VARCHAR NOT NULL DEFAULT '',
  pattern_confidence   DECIMAL(5, 4),
  reconstruction_error DOUBLE PRECISION,
  anomaly_score        DOUBLE PRECISION,
  created_at           TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT symbol_has_1_to_32_characters CHECK (char_length(symbol) BETWEEN 1 AND 32),
  CONSTRAINT analysis_time_is_required CHECK (analysis_timestamp IS NOT NULL),
  CONSTRAINT analysis_type_has_1_to_50_characters CHECK (char_length(analysis_type) BETWEEN 1 AND 50),
  CONSTRAINT frequency_components_is_four_arrays_of_numbers CHECK (
    frequency_components ?& ARRAY['dominant_frequencies', 'amplitudes', 'phases', 'significance_scores']
    AND frequency_components - ARRAY['dominant_frequencies', 'amplitudes', 'phases', 'significance_scores'] = '{}'
    AND NOT jsonb_path_exists(frequency_components, '$.*[*] ? (@.type() != "number")')
  ),
  CONSTRAINT frequency_components_has_at_most_128_kib CHECK (octet_length(frequency_components::text) <= 131072),
  CONSTRAINT dominant_frequencies_has_at_most_1000_elements
    CHECK (jsonb_array_length(frequency_components -> 'dominant_frequencies') <= 1000),
  CONSTRAINT amplitudes_must_be_as_many_as_dominant_frequencies CHECK (
    jsonb_array_length(frequency_components -> 'amplitudes')
    = jsonb_array_length(frequency_components -> 'dominant_frequencies')
  ),
  CONSTRAINT phases_must_be_as_many_as_dominant_frequencies CHECK (
    jsonb_array_length(frequency_components -> 'phases')
    = jsonb_array_length(frequency_components -> 'dominant_frequencies')
  ),
  CONSTRAINT significance_scores_must_be_as_many_as_dominant_frequencies CHECK (
    jsonb_array_length(frequency_components -> 'significance_scores')
    = jsonb_array_length(frequency_components -> 'dominant_frequencies')
  ),
  CONSTRAINT spectral_features_is_an_object CHECK (jsonb_typeof(spectral_features) = 'object'),
  CONSTRAINT spectral_features_has_at_most_64_kib CHECK (octet_length(spectral_features::text) <= 65536),
  CONSTRAINT pattern_detected_has_at_most_100_characters CHECK (char_length(pattern_detected) <= 100),
  CONSTRAINT pattern_confidence_is_between_0_and_1 CHECK (pattern_confidence BETWEEN 0 AND 1),
  CONSTRAINT reconstruction_error_is_a_finite_number CHECK (abs(reconstruction_error) < 'Infinity'),
  CONSTRAINT anomaly_score_is_a_finite_number CHECK (abs(anomaly_score) < 'Infinity')
);

CREATE INDEX idx_spectrum_analysis_time ON ai_trading.spectrum_analysis (analysis_timestamp DESC, analysis_id DESC);
CREATE INDEX idx_spectrum_analysis_symbol_time
  ON ai_trading.spectrum_analysis (symbol, analysis_timestamp DESC, analysis_id DESC);
CREATE INDEX idx_spectrum_analysis_type_time
  ON ai_trading.spectrum_analysis (analysis_type, analysis_timestamp DESC, analysis_id DESC);
CREATE INDEX idx_spectrum_analysis_model_time
  ON ai_trading.spectrum_analysis (model_id, analysis_timestamp DESC, analysis_id DESC);
CREATE INDEX idx_spectrum_analysis_pattern_time
  ON ai_trading.spectrum_analysis (pattern_detected, analysis_timestamp DESC, analysis_id DESC)
  WHERE pattern_detected <> '';

-- An analysis as the message SpectrumAnalysis has it. The planner inlines it.
CREATE FUNCTION ai_trading.spectrum_analysis_message(s ai_trading.spectrum_analysis) RETURNS TABLE (
  analysis_id TEXT, model_id TEXT, symbol TEXT, analysis_time TIMESTAMPTZ, analysis_type TEXT,
  frequency_components JSONB, spectral_features JSONB, pattern_detected TEXT, pattern_confidence DOUBLE PRECISION,
  reconstruction_error DOUBLE PRECISION, anomaly_score DOUBLE PRECISION, create_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    s.analysis_id::text, s.model_id::text, s.symbol::text, s.analysis_timestamp, s.analysis_type::text,
    s.frequency_components, s.spectral_features, s.pattern_detected::text, s.pattern_confidence::float8,
    s.reconstruction_error, s.anomaly_score, s.created_at
$$;

GRANT SELECT, INSERT, UPDATE ON ai_trading.spectrum_analysis TO ai_trading_service;
REVOKE ALL ON FUNCTION ai_trading.spectrum_analysis_message FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.spectrum_analysis_message TO ai_trading_service;

-- migrate:down
DROP FUNCTION ai_trading.spectrum_analysis_message;
DROP TABLE ai_trading.spectrum_analysis;
