-- Times are nanoseconds since 1970, 0 for none.
CREATE TABLE accounts (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	login    TEXT    NOT NULL UNIQUE COLLATE NOCASE,
	name     TEXT    NOT NULL,
	email    TEXT    NOT NULL,
	kind     TEXT    NOT NULL,
	role     TEXT    NOT NULL,
	password TEXT    NOT NULL, -- argon2id, empty for none
	disabled INTEGER NOT NULL,
	created  INTEGER NOT NULL
);
CREATE TABLE tokens (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	name    TEXT    NOT NULL,
	hash    TEXT    NOT NULL UNIQUE, -- SHA-256 of the token, which has 256 random bits
	scopes  TEXT    NOT NULL,
	created INTEGER NOT NULL,
	expires INTEGER NOT NULL
);
CREATE TABLE sessions (
	hash    TEXT    NOT NULL PRIMARY KEY, -- SHA-256 of the cookie, which has 256 random bits
	account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	form    TEXT    NOT NULL, -- what every form of the session repeats
	created INTEGER NOT NULL,
	seen    INTEGER NOT NULL
);
CREATE INDEX sessions_account ON sessions (account);
CREATE TABLE repositories (
	id             INTEGER PRIMARY KEY AUTOINCREMENT,
	owner          INTEGER NOT NULL REFERENCES accounts (id),
	name           TEXT    NOT NULL COLLATE NOCASE,
	dir            TEXT    NOT NULL UNIQUE, -- below the root, without .git
	parent         INTEGER REFERENCES repositories (id),
	default_branch TEXT    NOT NULL,
	description    TEXT    NOT NULL,
	created        INTEGER NOT NULL,
	pushed         INTEGER NOT NULL,
	last_number    INTEGER NOT NULL,
	UNIQUE (owner, name)
);
CREATE TABLE pulls (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	repository  INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
	number      INTEGER NOT NULL,
	title       TEXT    NOT NULL,
	body        TEXT    NOT NULL,
	author      INTEGER NOT NULL REFERENCES accounts (id),
	draft       INTEGER NOT NULL,
	closed      INTEGER NOT NULL,
	merged      INTEGER NOT NULL,
	merged_by   INTEGER REFERENCES accounts (id),
	merge_sha   TEXT    NOT NULL, -- set before the branch moves, so that a crash between the two is understood
	base_ref    TEXT    NOT NULL,
	base_sha    TEXT    NOT NULL,
	head_repo   INTEGER REFERENCES repositories (id) ON DELETE SET NULL,
	head_owner  INTEGER NOT NULL REFERENCES accounts (id),
	head_ref    TEXT    NOT NULL,
	head_sha    TEXT    NOT NULL,
	test_base   TEXT    NOT NULL, -- what the test merge was made of
	test_head   TEXT    NOT NULL,
	test_sha    TEXT    NOT NULL, -- the test merge; empty if the two do not go together
	can_modify  INTEGER NOT NULL,
	created     INTEGER NOT NULL,
	updated     INTEGER NOT NULL,
	UNIQUE (repository, number)
);
CREATE INDEX pulls_head ON pulls (head_repo, head_ref);
CREATE TABLE review_requests (
	pull    INTEGER NOT NULL REFERENCES pulls (id) ON DELETE CASCADE,
	account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	PRIMARY KEY (pull, account)
);
CREATE TABLE reviews (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	pull      INTEGER NOT NULL REFERENCES pulls (id) ON DELETE CASCADE,
	author    INTEGER NOT NULL REFERENCES accounts (id),
	state     TEXT    NOT NULL,
	body      TEXT    NOT NULL,
	sha       TEXT    NOT NULL,
	submitted INTEGER NOT NULL
);
CREATE INDEX reviews_pull ON reviews (pull);
CREATE TABLE comments (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
	number     INTEGER NOT NULL,
	author     INTEGER NOT NULL REFERENCES accounts (id),
	body       TEXT    NOT NULL,
	created    INTEGER NOT NULL,
	updated    INTEGER NOT NULL
);
CREATE INDEX comments_number ON comments (repository, number);
CREATE TABLE statuses (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	repository  INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
	sha         TEXT    NOT NULL,
	context     TEXT    NOT NULL,
	state       TEXT    NOT NULL,
	description TEXT    NOT NULL,
	target      TEXT    NOT NULL,
	creator     INTEGER NOT NULL REFERENCES accounts (id),
	created     INTEGER NOT NULL
);
CREATE INDEX statuses_sha ON statuses (repository, sha);
CREATE TABLE checks (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	repository  INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
	sha         TEXT    NOT NULL,
	name        TEXT    NOT NULL,
	external    TEXT    NOT NULL,
	details     TEXT    NOT NULL,
	status      TEXT    NOT NULL,
	conclusion  TEXT    NOT NULL,
	started     INTEGER NOT NULL,
	completed   INTEGER NOT NULL,
	title       TEXT    NOT NULL,
	summary     TEXT    NOT NULL,
	text        TEXT    NOT NULL,
	annotations TEXT    NOT NULL, -- a JSON list
	creator     INTEGER NOT NULL REFERENCES accounts (id)
);
CREATE INDEX checks_sha ON checks (repository, sha);
CREATE TABLE protections (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
	branch     TEXT    NOT NULL,
	body       TEXT    NOT NULL, -- JSON
	UNIQUE (repository, branch)
);
CREATE TABLE hooks (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	repository   INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
	url          TEXT    NOT NULL,
	content_type TEXT    NOT NULL,
	secret       TEXT    NOT NULL, -- needed to sign; never shown
	insecure     INTEGER NOT NULL,
	events       TEXT    NOT NULL,
	active       INTEGER NOT NULL,
	created      INTEGER NOT NULL,
	updated      INTEGER NOT NULL
);
CREATE TABLE deliveries (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	hook        INTEGER NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
	guid        TEXT    NOT NULL,
	event       TEXT    NOT NULL,
	action      TEXT    NOT NULL,
	payload     TEXT    NOT NULL,
	redelivery  INTEGER NOT NULL,
	attempts    INTEGER NOT NULL,
	due         INTEGER NOT NULL, -- when the next attempt is; 0 when none is
	delivered   INTEGER NOT NULL,
	duration    INTEGER NOT NULL, -- nanoseconds
	code        INTEGER NOT NULL, -- status of the answer, 0 for none
	status      TEXT    NOT NULL,
	req_headers TEXT    NOT NULL, -- JSON
	res_headers TEXT    NOT NULL, -- JSON
	res_body    TEXT    NOT NULL
);
CREATE INDEX deliveries_hook ON deliveries (hook, id);
CREATE INDEX deliveries_due ON deliveries (due) WHERE due > 0;
CREATE TABLE labels (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	repository  INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
	name        TEXT    NOT NULL COLLATE NOCASE,
	color       TEXT    NOT NULL,
	description TEXT    NOT NULL,
	UNIQUE (repository, name)
);
CREATE TABLE deployments (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	repository  INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
	sha         TEXT    NOT NULL,
	ref         TEXT    NOT NULL, -- as it was asked for
	task        TEXT    NOT NULL,
	environment TEXT    NOT NULL,
	description TEXT    NOT NULL,
	payload     TEXT    NOT NULL, -- JSON
	transient   INTEGER NOT NULL,
	production  INTEGER NOT NULL,
	creator     INTEGER NOT NULL REFERENCES accounts (id),
	created     INTEGER NOT NULL,
	updated     INTEGER NOT NULL
);
CREATE INDEX deployments_repository ON deployments (repository, id);
CREATE TABLE deployment_statuses (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	deployment      INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
	state           TEXT    NOT NULL,
	description     TEXT    NOT NULL,
	log             TEXT    NOT NULL, -- URL
	environment     TEXT    NOT NULL,
	environment_url TEXT    NOT NULL,
	creator         INTEGER NOT NULL REFERENCES accounts (id),
	created         INTEGER NOT NULL
);
CREATE INDEX deployment_statuses_deployment ON deployment_statuses (deployment, id);
CREATE TABLE pull_labels (
	pull  INTEGER NOT NULL REFERENCES pulls (id) ON DELETE CASCADE,
	label INTEGER NOT NULL REFERENCES labels (id) ON DELETE CASCADE,
	PRIMARY KEY (pull, label)
);
