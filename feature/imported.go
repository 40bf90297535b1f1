package feature

// File is a file by its content.
type File struct {
	Name string // to show
	Hash string // of the content
}

// Imported is an import of a file into a source, as the offline store knows it.
type Imported struct {
	File
	Generation uint64
	Edition    uint64 // that it belongs to (rule E2); its own generation if it began one
	Version    int    // of the source when it began
	Rows       int64  // that are in; while it is not Whole there may be some more
	Whole      bool
	Recorded   bool // the log names it, as far as the offline store covers the log
	Alone      bool // the log names no other generation of its edition
	At         Time // when the offline store was last told of it
}
