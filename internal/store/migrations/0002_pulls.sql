-- What a run does, and the pull request that it checks; 0 for none.
ALTER TABLE runs ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN pull BIGINT NOT NULL DEFAULT 0;
UPDATE runs SET kind = 'deploy' WHERE body LIKE '%"kind":"deploy"%';
UPDATE runs SET kind = 'verify' WHERE body LIKE '%"kind":"verify"%';
UPDATE runs SET kind = 'rollback' WHERE body LIKE '%"kind":"rollback"%';
CREATE INDEX runs_pull ON runs (pull, created);
-- Tests of the repository that passed, by what they ran on.
CREATE TABLE test_results (
	key  TEXT   NOT NULL PRIMARY KEY,
	at   BIGINT NOT NULL,
	body TEXT   NOT NULL
);
CREATE INDEX test_results_at ON test_results (at);
-- What was reported to the forge, and the forge's id of it.
CREATE TABLE reported (
	key    TEXT   NOT NULL PRIMARY KEY,
	at     BIGINT NOT NULL,
	digest TEXT   NOT NULL,
	ref    TEXT   NOT NULL
);
CREATE INDEX reported_at ON reported (at);
