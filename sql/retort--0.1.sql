-- SPDX-License-Identifier: Apache-2.0
\echo Use "CREATE EXTENSION retort" to load this file. \quit

CREATE FUNCTION retort_classify(model text, body text) RETURNS text
    AS 'MODULE_PATHNAME', 'retort_pg_classify' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION retort_classify(text, text) IS 'the best label of a text';

CREATE FUNCTION retort_score(model text, body text) RETURNS real
    AS 'MODULE_PATHNAME', 'retort_pg_score' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION retort_score(text, text) IS 'the score of the best label';

CREATE FUNCTION retort_scores(model text, body text) RETURNS json
    AS 'MODULE_PATHNAME', 'retort_pg_scores' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION retort_scores(text, text) IS 'the scores of all labels';

CREATE FUNCTION retort_embed(model text, body text) RETURNS real[]
    AS 'MODULE_PATHNAME', 'retort_pg_embed' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION retort_embed(text, text) IS 'the vector of a text';
