package chdb

import "testing"

// FuzzDecoders: what reads the engine's bytes must survive any bytes.
func FuzzDecoders(f *testing.F) {
	f.Add([]byte("\x02\x01x\x01y\x05UInt8\x06String"))
	f.Add([]byte("\x01x\x05UInt8\x00\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff\x10\x00\x00\x00\x08\x00\x00\x00\x06\x00\x08\x00\x04\x00\x00\x00\x00\x00\x00\x00" + arrowEnd))
	f.Fuzz(func(t *testing.T, data []byte) {
		if columns, err := readHeader(data); err == nil {
			if again, err := readHeader(data); err != nil || len(again) != len(columns) {
				t.Errorf("readHeader differs on the same bytes")
			}
		}
		if columns, err := readDescription(data); err == nil && len(data) > 0 && len(columns) == 0 {
			t.Error("readDescription found no column in bytes")
		}
		joiner := &arrowJoiner{}
		for range 2 {
			piece, err := joiner.piece(data)
			if err != nil {
				break
			}
			if len(piece) > len(data) {
				t.Error("a piece grew")
			}
		}
		sql, _ := splitInsert(string(data))
		if len(sql) > len(data) {
			t.Error("splitInsert grew its text")
		}
	})
}

func TestSplitInsert(t *testing.T) {
	for _, tc := range []struct{ sql, rest, format string }{
		{"INSERT INTO t (a, b) FORMAT Native", "INSERT INTO t (a, b)", "Native"},
		{"INSERT INTO t\nformat\tCSV ; ", "INSERT INTO t", "CSV"},
		{"INSERT INTO t (a) VALUES", "INSERT INTO t (a)", "Values"},
		{"INSERT INTO t", "INSERT INTO t", "Values"},
		{"INSERT INTO `format x` ", "INSERT INTO `format x` ", "Values"},
	} {
		if rest, format := splitInsert(tc.sql); rest != tc.rest || format != tc.format {
			t.Errorf("splitInsert(%q) = %q, %q, want %q, %q", tc.sql, rest, format, tc.rest, tc.format)
		}
	}
}
