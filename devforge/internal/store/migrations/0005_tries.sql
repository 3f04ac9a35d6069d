-- Passwords that were tried, by account and by address, within the time that
-- they count.
CREATE TABLE tries (
	key   TEXT    NOT NULL PRIMARY KEY,
	count INTEGER NOT NULL,
	until INTEGER NOT NULL -- when they count no more
);
