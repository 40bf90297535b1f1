package feature

// Status says why a feature has the value it has (rule R2). The numbers are part of stored formats.
type Status uint8

// The statuses of rule R2.
const (
	Missing Status = iota // there is no such event, it was deleted, or the key has a NULL part
	Expired               // the newest event is older than the feature's ttl
	Null                  // the newest event holds NULL
	Present               // the newest event holds the value
)

var statusNames = [...]string{"missing", "expired", "null", "present"}

// String returns the lower-case name used in answers, such as "present".
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "status?"
}

// MarshalText writes the name.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name.
func (s *Status) UnmarshalText(b []byte) error {
	for i, name := range statusNames {
		if name == string(b) {
			*s = Status(i)
			return nil
		}
	}
	return Errorf(CodeInvalid, "unknown status %q: expected missing, expired, null or present", b)
}
