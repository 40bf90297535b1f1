package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mutation is one change of one line.
type Mutation struct {
	Name     string
	File     string // from the module's root, with slashes
	Run      string // the test that should notice it, which is tried first; "" for the whole suite
	Old, New string
}

// Parse reads a list of mutations: paragraphs of "name", "file", "-" and "+" lines, comments behind #.
//
//	name ttl-edge
//	file internal/asof/asof.go
//	- age > f.TTL
//	+ age >= f.TTL
func Parse(text string) ([]Mutation, error) {
	var list []Mutation
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		var m Mutation
		for line := range strings.Lines(paragraph) {
			line = strings.TrimRight(line, "\n")
			word, rest, _ := strings.Cut(line, " ")
			switch {
			case line == "" || strings.HasPrefix(line, "#"):
			case word == "name":
				m.Name = rest
			case word == "file":
				m.File = rest
			case word == "run":
				m.Run = rest
			case word == "-":
				m.Old = rest
			case word == "+":
				m.New = rest
			default:
				return nil, fmt.Errorf("unexpected line %q: expected name, file, run, - or +", line)
			}
		}
		if m == (Mutation{}) {
			continue
		}
		if m.Name == "" || m.File == "" || m.Old == "" || m.Old == m.New {
			return nil, fmt.Errorf("mutation %+v is not complete", m)
		}
		if slices.ContainsFunc(list, func(o Mutation) bool { return o.Name == m.Name }) {
			return nil, fmt.Errorf("two mutations are called %s", m.Name)
		}
		list = append(list, m)
	}
	return list, nil
}

// Apply returns the text with Old replaced by New. Old must occur exactly once.
func (m Mutation) Apply(text string) (string, error) {
	if n := strings.Count(text, m.Old); n != 1 {
		return "", fmt.Errorf("%s has %q %d times, want once: mend the list", m.File, m.Old, n)
	}
	return strings.Replace(text, m.Old, m.New, 1), nil
}

// skipped are the folders of the module that are not copied.
var skipped = []string{".git", "bin", "data", "demo", "node_modules"}

// copyModule copies the module at from to the folder to.
func copyModule(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && slices.Contains(skipped, rel):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		case !d.Type().IsRegular():
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
}
