-- When a line or a bundle was last written, so that the clean-up removes only what no command is about to need.
ALTER TABLE job_follower ADD COLUMN written_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bundle ADD COLUMN written_at INTEGER NOT NULL DEFAULT 0;
