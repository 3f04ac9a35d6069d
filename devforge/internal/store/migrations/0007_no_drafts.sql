-- Reviews are no drafts any more: nothing submits those that are left.
DELETE FROM reviews WHERE state = 'PENDING';
