package chdb

// streamable says whether a result in the format can be sent as it is made. Every piece the engine hands out is a
// complete document, so these are the formats of which several in a row are one, and ArrowStream, which is put together.
func streamable(format string) bool {
	switch format {
	case "Native", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "RowBinary", "Null",
		"JSONEachRow", "JSONLines", "NDJSON", "JSONCompactEachRow", "JSONStringsEachRow", "LineAsString":
		return true
	}
	return false
}

// joiner makes one document out of the pieces of a result.
type joiner interface {
	// piece returns what the next piece adds; it may lie in the piece's memory.
	piece(data []byte) ([]byte, error)
	// end returns what comes after the last piece.
	end() []byte
}

// concatenation joins pieces of formats that have neither head nor foot.
type concatenation struct{}

func (concatenation) piece(data []byte) ([]byte, error) { return data, nil }
func (concatenation) end() []byte                       { return nil }

// arrowJoiner joins Arrow IPC streams of one schema: the schema of the first, the batches of all, one end.
type arrowJoiner struct{ begun bool }

func (j *arrowJoiner) piece(data []byte) ([]byte, error) { return data, nil }
func (j *arrowJoiner) end() []byte                       { return nil }
