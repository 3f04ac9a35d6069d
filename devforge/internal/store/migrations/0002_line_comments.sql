CREATE TABLE line_comments (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	pull       INTEGER NOT NULL REFERENCES pulls (id) ON DELETE CASCADE,
	review     INTEGER NOT NULL REFERENCES reviews (id) ON DELETE CASCADE, -- that it is part of
	reply_to   INTEGER NOT NULL, -- the comment that began the thread; 0 for that one
	author     INTEGER NOT NULL REFERENCES accounts (id),
	sha        TEXT    NOT NULL, -- commit of the head that it was written about
	path       TEXT    NOT NULL,
	side       TEXT    NOT NULL, -- LEFT (before the change) or RIGHT
	line       INTEGER NOT NULL,
	start_line INTEGER NOT NULL, -- 0 for one line alone
	position   INTEGER NOT NULL, -- of the line in the file's diff
	hunk       TEXT    NOT NULL, -- the diff up to the line
	blob       TEXT    NOT NULL, -- the file, by which it is known whether it changed since
	body       TEXT    NOT NULL,
	created    INTEGER NOT NULL,
	updated    INTEGER NOT NULL
);
CREATE INDEX line_comments_pull ON line_comments (pull);
