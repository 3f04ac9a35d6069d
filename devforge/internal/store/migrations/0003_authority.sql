-- Numbers of accounts begin at the second in which the database was made. One
-- that was lost and made anew then gives no number a second time: what others
-- remember of an account by its number is not inherited.
INSERT INTO sqlite_sequence (name, seq) SELECT 'accounts', CAST(strftime('%s', 'now') AS INTEGER) WHERE NOT EXISTS (SELECT 1 FROM accounts) AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'accounts');
