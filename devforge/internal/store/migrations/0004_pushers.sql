-- Who moved a branch since it was made, and who moved the head's branch of a
-- pull request since that was opened or the branch was made: their approvals
-- count for nothing.
CREATE TABLE branch_pushers (
	repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
	branch     TEXT    NOT NULL,
	account    INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	PRIMARY KEY (repository, branch, account)
);
CREATE TABLE pull_pushers (
	pull    INTEGER NOT NULL REFERENCES pulls (id) ON DELETE CASCADE,
	account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	PRIMARY KEY (pull, account)
);
