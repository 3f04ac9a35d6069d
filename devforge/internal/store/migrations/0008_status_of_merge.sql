-- The merge that a status is about: into which branch, and where that was. Empty
-- when it is about the commit alone.
ALTER TABLE statuses ADD COLUMN base_ref TEXT NOT NULL DEFAULT '';
ALTER TABLE statuses ADD COLUMN base_sha TEXT NOT NULL DEFAULT '';
