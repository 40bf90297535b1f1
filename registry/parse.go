package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// ReadDir returns the definition files of a folder and the folders in it: *.yaml and *.yml, without hidden ones
// and without lockstep.yaml, which configures the program. The names in the map are paths that begin with dir.
func ReadDir(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		if strings.HasPrefix(name, ".") && path != dir {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		ext := filepath.Ext(name)
		if e.IsDir() || ext != ".yaml" && ext != ".yml" || strings.TrimSuffix(name, ext) == "lockstep" {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[path] = data
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, feature.Errorf(feature.CodeNotFound, "read definitions: %w", err)
	case err != nil:
		return nil, fmt.Errorf("read definitions: %w", err)
	case len(files) == 0:
		return nil, feature.Errorf(feature.CodeNotFound, "there are no definitions in %s: expected files *.yaml or *.yml", dir)
	}
	return files, nil
}

// ParseDir reads the definitions of a folder as ReadDir finds them; see Parse.
func ParseDir(dir string) (*Definitions, error) {
	files, err := ReadDir(dir)
	if err != nil {
		return nil, err
	}
	return Parse(files)
}

// Parse reads definitions: YAML by file name, in the order of the names, many documents a file. The files are a
// whole: what a definition refers to must be in them. Whatever is wrong is reported at once, in a *feature.Error
// of CodeInvalid whose details name file, line and column.
func Parse(files map[string][]byte) (*Definitions, error) {
	var p problems
	c := checker{problems: &p, defs: &Definitions{}, known: map[Kind]map[string]definition{}, views: map[string]*feature.View{}, readings: map[string][]reading{}}
	d := decoder{&p}
	for _, name := range sortedKeys(files) {
		r := reader{problems: &p, file: name}
		for _, doc := range r.documents(files[name]) {
			c.collect(d.definition(doc))
		}
		c.partial = c.partial || r.partial
	}
	c.check()
	if err := p.err(feature.CodeInvalid, "definitions"); err != nil {
		return nil, err
	}
	for _, s := range c.defs.Services {
		s.Features = canonical(s.Features)
	}
	return c.defs, nil
}
