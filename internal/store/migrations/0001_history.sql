-- Both databases take every statement. Times are nanoseconds since 1970.
CREATE TABLE runs (
	id          TEXT   NOT NULL PRIMARY KEY,
	environment TEXT   NOT NULL,
	state       TEXT   NOT NULL,
	active      BIGINT NOT NULL,
	created     BIGINT NOT NULL,
	last_seq    BIGINT NOT NULL,
	lines_kept  BIGINT NOT NULL,
	body        TEXT   NOT NULL
);
CREATE INDEX runs_created ON runs (created, id);
CREATE INDEX runs_environment ON runs (environment, created);
-- Which hubs a run is about; '*' is all of them.
CREATE TABLE run_hubs (
	run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
	hub TEXT NOT NULL,
	PRIMARY KEY (run, hub)
);
CREATE INDEX run_hubs_hub ON run_hubs (hub);
CREATE TABLE lines (
	run   TEXT   NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
	seq   BIGINT NOT NULL,
	at    BIGINT NOT NULL,
	level TEXT   NOT NULL,
	scope TEXT   NOT NULL,
	line  TEXT   NOT NULL,
	PRIMARY KEY (run, seq)
);
