-- The signals of a model about one symbol or in one state are found in the order of their time, without those of the
-- others; and what came lately is found by when it came.

-- migrate:up
DROP INDEX ai_trading.idx_ai_signals_model_status;
CREATE INDEX idx_ai_signals_model_status ON ai_trading.ai_signals (model_id, status, signal_timestamp DESC);
CREATE INDEX idx_ai_signals_model_symbol_time ON ai_trading.ai_signals (model_id, symbol, signal_timestamp DESC);
-- Signals are stored in the order of created_at, so this index is a few pages, and appending does not feel it.
CREATE INDEX idx_ai_signals_created ON ai_trading.ai_signals USING brin (created_at) WITH (autosummarize = on);

-- migrate:down
DROP INDEX ai_trading.idx_ai_signals_created;
DROP INDEX ai_trading.idx_ai_signals_model_symbol_time;
DROP INDEX ai_trading.idx_ai_signals_model_status;
CREATE INDEX idx_ai_signals_model_status ON ai_trading.ai_signals (model_id, status);
