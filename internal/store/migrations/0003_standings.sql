-- What must not be forgotten about a release: its signed standing, which the
-- cluster keeps too. The generation grows by each change.
CREATE TABLE standings (
	key        TEXT   NOT NULL PRIMARY KEY,
	at         BIGINT NOT NULL,
	generation BIGINT NOT NULL,
	body       TEXT   NOT NULL
);
