-- A job that a person has paused: its times pass without a run until it is resumed.
ALTER TABLE jobs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
