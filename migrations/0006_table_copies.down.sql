DROP TABLE IF EXISTS table_copies
