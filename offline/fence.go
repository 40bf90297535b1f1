package offline

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// SQL of a client may read the tables of our database with functions that only compute, and nothing else; that of a
// definition, which an administrator writes, may read those of other databases too. What it is is not guessed from its text: ClickHouse parses it (EXPLAIN AST, which runs nothing) and the tree is checked node
// by node. A kind of node, a function or a table function that is not known to be harmless is refused. The
// statement then runs as a reader and within limits.

// Limits of a user's statement.
const (
	fenceSeconds = 60
	fenceMemory  = 2 << 30
	fenceResult  = 64 << 20 // of the answer, which is held in memory
)

// fenced are the settings under which SQL of a user runs. A reader cannot change them.
func fenced(ctx context.Context) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"readonly": 1, "query_plan_remove_redundant_sorting": 0,
		"max_execution_time": fenceSeconds, "timeout_before_checking_execution_speed": 0, "max_memory_usage": fenceMemory,
	}))
}

// scope says which tables SQL may read.
type scope int

const (
	ownTables scope = iota // of our database
	allTables              // of all databases but ClickHouse's own
)

// check refuses SQL that is not one SELECT, or that does more than read the tables it may.
func (s *Store) check(ctx context.Context, sql string, may scope) error {
	rows, err := s.conn.Query(fenced(ctx), "EXPLAIN AST SELECT * FROM (\n"+inner(sql)+")")
	if err != nil {
		return refused("read the SQL", err)
	}
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			rows.Close()
			return failure("read the SQL", err)
		}
		lines = append(lines, line)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return refused("read the SQL", err)
	}
	functions, err := s.functions(ctx)
	if err != nil {
		return err
	}
	root, err := parseTree(lines)
	if err != nil {
		return err
	}
	f := &fence{may: may, database: s.options.Auth.Database, functions: functions}
	user, err := f.user(root)
	if err != nil {
		return err
	}
	return f.visit(user, nil)
}

// node is a node of the tree that EXPLAIN AST prints, a line each, indented by depth.
type node struct {
	kind     string
	name     string // what follows the kind
	children []*node
}

var nodeLine = regexp.MustCompile(`(?s)^( *)([A-Za-z:]+)(?: (.*?))??( \(alias .*?\))?( \(children (\d+)\))?$`)

// parseTree reads the lines. A name with a line break in it could look like nodes that are not there, so the number
// of children must be what each node says.
func parseTree(lines []string) (*node, error) {
	i := 0
	root, err := parseNode(lines, &i, 0)
	if err != nil || i != len(lines) {
		return nil, feature.Errorf(feature.CodeInvalid, "the SQL cannot be checked: are there line breaks in names?")
	}
	return root, nil
}

const deepest = 500 // levels of a tree

func parseNode(lines []string, i *int, depth int) (*node, error) {
	if *i >= len(lines) || depth > deepest {
		return nil, feature.ErrInvalid
	}
	m := nodeLine.FindStringSubmatch(lines[*i])
	if m == nil || len(m[1]) != depth {
		return nil, feature.ErrInvalid
	}
	*i++
	n := &node{kind: m[2], name: m[3]}
	count, _ := strconv.Atoi(m[6]) // digits, or none
	for range count {
		child, err := parseNode(lines, i, depth+1)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, child)
	}
	return n, nil
}

// fence checks a tree.
type fence struct {
	may       scope
	database  string
	functions map[string]bool // in small letters: whether it only computes
}

// user returns the part of the tree that is the user's: what stands between our parentheses, all of it.
func (f *fence) user(root *node) (*node, error) {
	for _, step := range []struct {
		kind     string
		children int
		next     int
	}{
		{"SelectWithUnionQuery", 1, 0},
		{"ExpressionList", 1, 0},
		{"SelectQuery", 2, 1},
		{"TablesInSelectQuery", 1, 0},
		{"TablesInSelectQueryElement", 1, 0},
		{"TableExpression", 1, 0},
		{"Subquery", 1, 0},
	} {
		if root.kind != step.kind || len(root.children) != step.children {
			return nil, feature.Errorf(feature.CodeInvalid, "the SQL is not one SELECT")
		}
		root = root.children[step.next]
	}
	return root, nil
}

// harmless are the kinds of nodes that a SELECT is made of.
var harmless = []string{
	"SelectWithUnionQuery", "SelectIntersectExceptQuery", "SelectQuery", "ExpressionList", "Subquery", "WithElement", "TablesInSelectQuery",
	"TablesInSelectQueryElement", "TableExpression", "TableJoin", "ArrayJoin", "SampleRatio", "Literal", "Asterisk", "QualifiedAsterisk",
	"ColumnsRegexpMatcher", "ColumnsListMatcher", "QualifiedColumnsRegexpMatcher", "QualifiedColumnsListMatcher", "ColumnsTransformerList",
	"ColumnsExceptTransformer", "ColumnsReplaceTransformer", "ColumnsReplaceTransformer::Replacement", "OrderByElement", "InterpolateElement",
	"WindowListElement", "WindowDefinition",
}

// tableFunctions are those that make rows out of nothing, and view, whose SELECT is checked like any other.
var tableFunctions = []string{"numbers", "numbers_mt", "zeros", "zeros_mt", "values", "null", "view", "generateseries", "generate_series"}

// sets are the functions whose second argument may name a table.
var sets = []string{
	"in", "notin", "globalin", "globalnotin", "nullin", "notnullin", "globalnullin", "globalnotnullin", "inignoreset", "notinignoreset",
	"globalinignoreset", "globalnotinignoreset", "nullinignoreset", "notnullinignoreset", "globalnullinignoreset", "globalnotnullinignoreset",
}

func (f *fence) visit(n, parent *node) error {
	var err error
	switch n.kind {
	case "Identifier":
	case "TableIdentifier":
		err = f.table(n.name)
	case "Function":
		err = f.function(n, parent)
	case "Set":
		err = feature.Errorf(feature.CodeInvalid, "the SQL may not have SETTINGS")
	default:
		if !slices.Contains(harmless, n.kind) {
			err = feature.Errorf(feature.CodeInvalid, "the SQL may only read: %s is not allowed", n.kind)
		}
	}
	if err != nil {
		return err
	}
	for _, child := range n.children {
		if err := f.visit(child, n); err != nil {
			return err
		}
	}
	return nil
}

// systems are the databases that tell about the server.
var systems = []string{"system", "information_schema"}

// table refuses tables of other databases, and what other users have staged. A name without a database may also be
// that of a WITH.
func (f *fence) table(name string) error {
	own := strings.TrimPrefix(name, f.database+".")
	if database, _, other := strings.Cut(own, "."); other && f.may == allTables {
		if slices.Contains(systems, strings.ToLower(database)) {
			return feature.Errorf(feature.CodeInvalid, "the SQL may not read ClickHouse's own tables: %s is not allowed", name)
		}
		return nil
	}
	if strings.Contains(own, ".") || strings.HasPrefix(own, spinePrefix) {
		return feature.Errorf(feature.CodeInvalid, "the SQL may only read the tables of database %s: %s is not allowed", f.database, name)
	}
	return nil
}

func (f *fence) function(n, parent *node) error {
	name := strings.ToLower(n.name)
	if parent != nil && parent.kind == "TableExpression" {
		if !slices.Contains(tableFunctions, name) {
			return feature.Errorf(feature.CodeInvalid, "the SQL may only read tables: the table function %s is not allowed; make a view of it in ClickHouse and select from that", n.name)
		}
		return nil
	}
	if !f.computes(name) {
		return feature.Errorf(feature.CodeInvalid, "the SQL may only compute: the function %s is not allowed", n.name)
	}
	if len(n.children) == 0 {
		return nil
	}
	arguments := n.children[0].children
	if len(arguments) > 1 && arguments[1].kind == "Identifier" && slices.Contains(sets, name) {
		return f.table(arguments[1].name)
	}
	// Functions such as arrayMap take the name of a function as their first argument.
	if len(arguments) > 0 && arguments[0].kind == "Identifier" {
		first := strings.ToLower(arguments[0].name)
		if _, known := f.functions[first]; known && !f.computes(first) {
			return feature.Errorf(feature.CodeInvalid, "the SQL may only compute: the function %s is not allowed; if it is a column, name its table too", arguments[0].name)
		}
	}
	return nil
}

// combinators are what names of aggregate functions may end in.
var combinators = []string{
	"simplestate", "ordefault", "ornull", "distinct", "resample", "foreach", "argmax", "argmin", "merge", "state", "array", "map", "if",
}

// computes reports whether a function only computes; name is in small letters.
func (f *fence) computes(name string) bool {
	if ok, known := f.functions[name]; known {
		return ok
	}
	for _, c := range combinators {
		if base, found := strings.CutSuffix(name, c); found && f.computes(base) {
			return true
		}
	}
	return false
}

// functions returns the functions of the server, and which of them only compute. It asks once.
func (s *Store) functions(ctx context.Context) (map[string]bool, error) {
	s.mu.Lock()
	known := s.computing
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	sql, err := text("functions.sql", nil)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{"exists": true, "lambda": true, "grouping": true}
	err = s.each(ctx, query{"list the functions", sql, nil}, func(rows driver.Rows) error {
		var name string
		var computes bool
		if err := rows.Scan(&name, &computes); err != nil {
			return err
		}
		out[name] = out[name] || computes
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.computing = out
	return out, nil
}
