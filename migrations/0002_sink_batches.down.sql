DROP TABLE IF EXISTS sink_batches
