-- Small things that end by themselves, such as sessions: what they are, what
-- they are known by, when they end.
CREATE TABLE kept (
	kind  TEXT   NOT NULL,
	key   TEXT   NOT NULL,
	until BIGINT NOT NULL,
	body  TEXT   NOT NULL,
	PRIMARY KEY (kind, key)
);
CREATE INDEX kept_until ON kept (until);
