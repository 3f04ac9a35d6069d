-- Forks have no webhooks any more.
DELETE FROM hooks WHERE repository IN (SELECT id FROM repositories WHERE parent IS NOT NULL);
